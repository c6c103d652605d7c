package mesh

import (
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"hardnode.dev/agent/sys"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
)

// mostThreads is up to how many peers each has a thread: it takes some 25 KiB of the kernel's memory.
const mostThreads = 256

// Threaded tells whether what comes from each of so many peers is handed on by a thread of its own (Linux
// Documentation/networking/napi.rst, threaded NAPI). Without it the kernel hands each packet on alone as soon as it is decrypted; the
// thread finds several, and what belongs together goes through the host's rules, a container's link and its TCP as one, with one answer.
// Kernels from 6.16 on do it of themselves.
func Threaded(peers int) bool { return peers <= mostThreads }

// Peers is how many peers the mesh has.
func Peers(self wire.HostID, all *host.Peers) int { return len(peers(self, all)) }

// Thread has the kernel use threads for peers, those that come later too, or not. It refuses as long as there is no peer. The error is no
// reason to do without the mesh: it is slower.
func Thread(on bool) error {
	fs, err := sys.NewMount("sysfs", 0) // of this network namespace, whatever /sys is of
	if err != nil {
		return fmt.Errorf("threads of the mesh: %v", err)
	}
	defer fs.Close()
	fd, err := unix.Openat(int(fs.Fd()), "class/net/"+Link+"/threaded", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("threads of the mesh: open its setting: %v", err)
	}
	f := os.NewFile(uintptr(fd), "threaded")
	defer f.Close()
	want := map[bool]string{true: "1", false: "0"}[on]
	is := make([]byte, 8)
	n, err := f.ReadAt(is, 0)
	if n == 0 {
		return fmt.Errorf("threads of the mesh: read whether there are some: %v", err)
	}
	if strings.TrimSpace(string(is[:n])) == want {
		return nil
	}
	if _, err := f.WriteAt([]byte(want), 0); err != nil {
		return fmt.Errorf("threads of the mesh: set them to %s: %v", want, err)
	}
	return nil
}
