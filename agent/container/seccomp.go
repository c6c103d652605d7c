package container

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"sync"

	seccomp "github.com/elastic/go-seccomp-bpf"
	"github.com/elastic/go-seccomp-bpf/arch"
	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// A filter allows every system call of the library's table except those named here; numbers the table does not know do not exist
// (ENOSYS), so programs fall back instead of failing. testdata holds the resulting lists: a new table shows up in review.

// everywhere are refused to all containers: they act on the whole machine, or have been a way out of containers too often.
var everywhere = []string{
	"acct", "bpf", "clock_adjtime", "clock_settime", "adjtimex", "settimeofday", "create_module", "delete_module", "finit_module", "init_module",
	"get_kernel_syms", "query_module", "kexec_load", "kexec_file_load", "iopl", "ioperm", "lookup_dcookie", "nfsservctl", "open_by_handle_at",
	"perf_event_open", "quotactl", "quotactl_fd", "swapon", "swapoff", "sysfs", "_sysctl", "syslog", "uselib", "userfaultfd", "ustat",
	"pidfd_getfd", "vhangup", "afs_syscall", "tuxcall", "security", "vserver", "getpmsg", "putpmsg", "epoll_ctl_old", "epoll_wait_old",
	"lsm_set_self_attr", "fanotify_init",
}

// appOnly are refused to app containers: making namespaces and mounts, looking into other processes by the new ways, host names.
var appOnly = []string{
	"mount", "umount2", "pivot_root", "fsconfig", "fsmount", "fsopen", "fspick", "mount_setattr", "move_mount", "open_tree", "open_tree_attr",
	"statmount", "listmount", "setns", "unshare", "sethostname", "setdomainname", "reboot", "kcmp", "process_madvise", "mbind", "migrate_pages",
	"move_pages", "set_mempolicy", "set_mempolicy_home_node",
}

var (
	appDenied    = append(slices.Clone(everywhere), appOnly...)
	systemDenied = everywhere

	// appAbsent get ENOSYS: clone3's flags lie in memory where a filter can't look, and C libraries fall back to clone; io_uring and
	// key rings are optional everywhere.
	appAbsent    = []string{"clone3", "io_uring_setup", "io_uring_enter", "io_uring_register", "add_key", "request_key", "keyctl"}
	systemAbsent = []string{"io_uring_setup", "io_uring_enter", "io_uring_register", "add_key", "request_key", "keyctl"}
)

// newNamespaces are the clone(2) flags that make namespaces.
const newNamespaces = unix.CLONE_NEWNS | unix.CLONE_NEWCGROUP | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC | unix.CLONE_NEWUSER | unix.CLONE_NEWPID | unix.CLONE_NEWNET

const absent = seccomp.Action(unix.SECCOMP_RET_ERRNO | uint32(unix.ENOSYS))

// allowedNames is the table without the denied and the absent, sorted.
func allowedNames(denied, missing []string) []string {
	var names []string
	for name := range arch.X86_64.SyscallNames {
		if !slices.Contains(denied, name) && !slices.Contains(missing, name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// seccompProgram assembles a filter. The two calls with conditions come last: the library leaves an argument, not the call's number,
// in the accumulator after a condition that does not hold, and no argument that fails one of these equals a later number.
func seccompProgram(denied, missing []string, noNamespaces bool) ([]bpf.Instruction, error) {
	allowed := allowedNames(denied, missing)
	allowed = slices.DeleteFunc(allowed, func(n string) bool { return n == "socket" || n == "clone" })
	clone := seccomp.NameWithConditions{Name: "clone"}
	if noNamespaces {
		clone.Conditions = seccomp.ArgumentConditions{{Argument: 0, Operation: seccomp.BitsNotSet, Value: newNamespaces}}
	} else {
		allowed = append(allowed, "clone")
	}
	last := []seccomp.NameWithConditions{{Name: "socket", Conditions: seccomp.ArgumentConditions{ // AF_ALG and AF_VSOCK speak to the host
		{Argument: 0, Operation: seccomp.NotEqual, Value: unix.AF_ALG}, {Argument: 0, Operation: seccomp.NotEqual, Value: unix.AF_VSOCK}}}}
	if noNamespaces {
		last = append(last, clone)
	}
	p := seccomp.Policy{
		DefaultAction: seccomp.ActionTrap, // stands for absent, which the library does not take as a default
		Syscalls: []seccomp.SyscallGroup{
			{Action: seccomp.ActionAllow, Names: allowed},
			{Action: seccomp.ActionErrno, Names: denied},
			{Action: absent, Names: missing},
			{Action: seccomp.ActionAllow, NamesWithCondtions: last},
		},
	}
	prog, err := p.Assemble()
	if err != nil {
		return nil, err
	}
	for i, ins := range prog {
		if r, ok := ins.(bpf.RetConstant); ok && r.Val == uint32(seccomp.ActionTrap) {
			prog[i] = bpf.RetConstant{Val: uint32(absent)}
		}
	}
	return prog, nil
}

var filters sync.Map // name list → bytes: a filter is assembled once

// seccompFor gives a filter as the kernel takes it: an array of struct sock_filter.
func seccompFor(denied, missing []string, noNamespaces bool) ([]byte, error) {
	key := fmt.Sprint(denied, missing, noNamespaces)
	if b, ok := filters.Load(key); ok {
		return b.([]byte), nil
	}
	prog, err := seccompProgram(denied, missing, noNamespaces)
	if err != nil {
		return nil, err
	}
	raw, err := bpf.Assemble(prog)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	for _, i := range raw {
		binary.Write(&b, binary.NativeEndian, i) // op uint16, jt uint8, jf uint8, k uint32: struct sock_filter
	}
	filters.Store(key, b.Bytes())
	return b.Bytes(), nil
}
