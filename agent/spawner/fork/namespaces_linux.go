package fork

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// Namespaces makes a user namespace that maps ids 0–65535 to base… and a network namespace owned by it. They end with their last
// descriptor (and process).
func Namespaces(base uint32) (user, net *os.File, err error) {
	var hold [2]int
	if err := unix.Pipe2(hold[:], unix.O_CLOEXEC); err != nil {
		return nil, nil, fmt.Errorf("make pipe: %v", err)
	}
	defer unix.Close(hold[0])
	p := new(Prog)
	p.Call("close", unix.SYS_CLOSE, hold[1]) // so that the read below ends when this process lets go, or dies
	p.Call("wait", unix.SYS_READ, hold[0], p.bytes(make([]byte, 8), "buffer"), 1)
	p.Call("end", unix.SYS_EXIT_GROUP, 0)
	args := &cloneArgs{flags: unix.CLONE_NEWUSER | unix.CLONE_NEWNET, exitSignal: uint64(unix.SIGCHLD)}
	pid, errno := spawn(p, args, ^uintptr(0))
	if errno != 0 {
		unix.Close(hold[1])
		return nil, nil, fmt.Errorf("clone namespaces: %w", errno)
	}
	defer reap(pid)
	defer unix.Close(hold[1])

	line := fmt.Appendf(nil, "0 %d 65536\n", base)
	for _, name := range []string{"uid_map", "gid_map"} {
		if err := os.WriteFile(fmt.Sprintf("/proc/%d/%s", pid, name), line, 0); err != nil {
			return nil, nil, fmt.Errorf("map ids: %w", err)
		}
	}
	if user, err = os.Open(fmt.Sprintf("/proc/%d/ns/user", pid)); err != nil {
		return nil, nil, fmt.Errorf("open user namespace: %w", err)
	}
	if net, err = os.Open(fmt.Sprintf("/proc/%d/ns/net", pid)); err != nil {
		user.Close()
		return nil, nil, fmt.Errorf("open network namespace: %w", err)
	}
	return user, net, nil
}
