package boot

import (
	"fmt"
	"strings"
)

// Script is what iPXE is told to do: load a kernel and an initrd from where the script came from, and boot them.
type Script struct {
	Profile   string   // the initrd is Profile.initrd, the kernel vmlinuz
	Arguments []string // the kernel's
	Config    bool     // its configuration is the file hardnode.yaml beside the script
	Own       bool     // or, where there is one for a machine's card, configs/<MAC>.yaml
}

// String is the script. What DHCP named, ${filename}, is the script's own address, and netd takes the dots out of what is made of it.
// (${cwuri}, which would say it for a script that another one loads too, is newer than Debian's iPXE.) The timeouts are in milliseconds
// without progress: iPXE alone waits for ever for a server that went without a word.
func (s Script) String() string {
	choose, arguments := "", strings.Join(s.Arguments, " ")
	if s.Config {
		choose = "set config ${filename}/../hardnode.yaml\n"
		arguments += " " + ConfigArgument + "${config}"
	}
	if s.Config && s.Own {
		choose += "imgfetch --timeout 20000 --name own configs/${netX/mac:hexhyp}.yaml && imgfree own && " +
			"set config ${filename}/../configs/${netX/mac:hexhyp}.yaml ||\n"
	}
	return fmt.Sprintf(`#!ipxe
:start
%skernel --timeout 20000 --name vmlinuz vmlinuz initrd=%[2]s.initrd %[3]s || goto failed
initrd --timeout 20000 --name %[2]s.initrd %[2]s.initrd || goto failed
boot || goto failed
:failed
echo
echo Hardnode: kernel or initrd could not be loaded: the line above says what and why.
echo Are all files of the tree on the HTTP server of ${filename}, and does it answer?
echo It is tried again in 5 seconds.
imgfree
sleep 5
goto start
`, choose, s.Profile, arguments)
}

// mostLater is how often a machine looks again for files that are not there yet: ten minutes; then its firmware goes on to what comes next.
const mostLater = 120

// Later is what iPXE is told where the script of that name can't be given yet: to ask for it again. tries is how often it has.
func Later(name, release string, tries int) string {
	text := fmt.Sprintf("#!ipxe\necho Hardnode: release %s is not at hand yet: the server fetches it.\n", release)
	if tries >= mostLater {
		return text + "echo It is given up.\nexit\n"
	}
	return text + fmt.Sprintf("echo It is tried again in 5 seconds.\nsleep 5\nchain --replace --timeout 20000 %s?tries=%d || exit\n", name,
		tries+1)
}
