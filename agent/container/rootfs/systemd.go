package rootfs

import (
	"fmt"
	"os"
	"path"
	"strings"

	"golang.org/x/sys/unix"

	"hardnode.dev/agent/spawner/call"
	"hardnode.dev/agent/sys"
)

// What systemd as PID 1 is told, by files in /run that the image's own in /etc, and any of a later name, override (systemd-system.conf(5)):
// its journal goes to its console too, which is the container's log; its own status only when something is wrong, for the journal has the
// same; and nobody can log in on a console that is only read.
var (
	SystemdDirs = []call.Dir{{Path: "systemd", Mode: 0o755}, {Path: "systemd/journald.conf.d", Mode: 0o755},
		{Path: "systemd/system.conf.d", Mode: 0o755}, {Path: "systemd/system", Mode: 0o755}}
	SystemdTexts = []call.Text{
		{Name: "systemd/journald.conf.d/00-hardnode.conf",
			Data: []byte("[Journal]\nForwardToConsole=yes\nTTYPath=/dev/console\nMaxLevelConsole=info\n")},
		{Name: "systemd/system.conf.d/00-hardnode.conf", Data: []byte("[Manager]\nShowStatus=auto\n")},
		{Name: "systemd/system/console-getty.service"}, // empty: masked
	}
)

// IsSystemd tells whether a program of an image is systemd, be it by links.
func IsSystemd(image *os.File, program string) bool {
	if !strings.HasPrefix(program, "/") {
		return false
	}
	f, err := sys.OpenIn(image, program, unix.O_PATH)
	if err != nil {
		return false
	}
	defer f.Close()
	name, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", f.Fd()))
	return err == nil && path.Base(name) == "systemd"
}
