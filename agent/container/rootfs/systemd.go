package rootfs

import (
	"crypto/sha256"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"path"
	"strings"

	"golang.org/x/sys/unix"

	"hardnode.dev/agent/container/spec"
	"hardnode.dev/agent/spawner/call"
	"hardnode.dev/agent/sys"
	"hardnode.dev/internal/wire"
)

// What systemd as PID 1 is told, by files in /run that the image's own in /etc, and any of a later name, override (systemd-system.conf(5)):
// its journal goes to its console too, which is the container's log; its own status only when something is wrong, for the journal has the
// same.
var (
	SystemdDirs = []call.Dir{{Path: "systemd", Mode: 0o755}, {Path: "systemd/journald.conf.d", Mode: 0o755},
		{Path: "systemd/system.conf.d", Mode: 0o755}}
	SystemdTexts = []call.Text{
		{Name: "systemd/journald.conf.d/00-hardnode.conf",
			Data: []byte("[Journal]\nForwardToConsole=yes\nTTYPath=/dev/console\nMaxLevelConsole=info\n")},
		{Name: "systemd/system.conf.d/00-hardnode.conf", Data: []byte("[Manager]\nShowStatus=auto\n")},
	}
)

// Told is a full OS's environment with what systemd's container interface has in it: which machine this is, for an image that says nothing
// of that, and where systemd says that it has booted.
func Told(env map[string]string, machine string, systemd bool) map[string]string {
	if env = maps.Clone(env); env == nil {
		env = map[string]string{}
	}
	env["container_uuid"] = machine
	if systemd {
		env["NOTIFY_SOCKET"] = spec.PrivateDir + "/" + spec.Notify
	}
	return env
}

// MachineID is the UUID that a container has as a machine, for its life: its number and its address stay, whatever its image and its host
// are (machine-id(5)).
func MachineID(id wire.CTID, ip netip.Addr) string {
	h := sha256.Sum256(fmt.Appendf(nil, "hardnode container %s at %s", id, ip))
	h[6], h[8] = h[6]&0x0f|0x80, h[8]&0x3f|0x80 // a version of no standard's, RFC 9562
	return fmt.Sprintf("%x-%x-%x-%x-%x", h[:4], h[4:6], h[6:8], h[8:10], h[10:16])
}

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
