package profile

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"sync"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// A filter allows every system call of callNames except those named here; numbers the table does not know do not exist
// (ENOSYS), so programs fall back instead of failing. testdata holds the resulting lists: a new table shows up in review.

// everywhere are refused to all containers: they act on the whole machine, or have been a way out of containers too often.
var everywhere = []string{
	"acct", "bpf", "clock_adjtime", "clock_settime", "adjtimex", "settimeofday", "create_module", "delete_module", "finit_module",
	"init_module", "get_kernel_syms", "query_module", "kexec_load", "kexec_file_load", "iopl", "ioperm", "lookup_dcookie", "nfsservctl",
	"open_by_handle_at", "perf_event_open", "quotactl", "quotactl_fd", "swapon", "swapoff", "sysfs", "_sysctl", "syslog", "uselib",
	"userfaultfd", "ustat", "pidfd_getfd", "vhangup", "afs_syscall", "tuxcall", "security", "vserver", "getpmsg", "putpmsg",
	"epoll_ctl_old", "epoll_wait_old", "lsm_set_self_attr", "fanotify_init",
}

// appOnly are refused to app containers: making namespaces and mounts, looking into other processes by the new ways, host names.
var appOnly = []string{
	"mount", "umount2", "pivot_root", "fsconfig", "fsmount", "fsopen", "fspick", "mount_setattr", "move_mount", "open_tree",
	"open_tree_attr", "statmount", "listmount", "setns", "unshare", "sethostname", "setdomainname", "reboot", "kcmp", "process_madvise",
	"mbind", "migrate_pages", "move_pages", "set_mempolicy", "set_mempolicy_home_node",
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
const newNamespaces = unix.CLONE_NEWNS | unix.CLONE_NEWCGROUP | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC | unix.CLONE_NEWUSER |
	unix.CLONE_NEWPID | unix.CLONE_NEWNET

// allowedNames is the table without the denied and the absent, sorted.
func allowedNames(denied, missing []string) []string {
	var names []string
	for _, name := range callNames {
		if name != "" && !slices.Contains(denied, name) && !slices.Contains(missing, name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// answer is what a filter does with one call number: a fixed return value, or a test of an argument's low word, which is all the kernel
// looks at in these (clone's namespace flags and socket's family are below 2^32, ioctl's request is an unsigned int; what stands above is
// cut off).
type answer struct {
	ret  uint32   // what follows when no test below refuses
	bits uint32   // any of these set: absent
	are  []uint32 // equal to one of these: absent
	only []uint32 // equal to none of these, if there are any: EPERM
	asks []uint32 // the second argument, and no other test, equal to one of these: ENOTTY
}

// personas are what personality(2) may set, as common container runtimes have it: Linux, its 32-bit form, each with a 2.6 version, and the
// question. READ_IMPLIES_EXEC would make all data executable, ADDR_NO_RANDOMIZE all addresses known.
var personas = []uint32{0, 0x0008, 0x20000, 0x20008, 1<<32 - 1}

// subvolumes are requests that make, delete or change btrfs's subvolumes (include/uapi/linux/btrfs.h), which nobody needs rights for in a
// directory of his own: one in a volume has no quota, is in no snapshot, and the volume can't be deleted before it is. They are answered as
// by another file system.
var subvolumes = []uint32{
	0x50009401, // BTRFS_IOC_SNAP_CREATE
	0x5000940e, // BTRFS_IOC_SUBVOL_CREATE
	0x5000940f, // BTRFS_IOC_SNAP_DESTROY
	0x50009417, // BTRFS_IOC_SNAP_CREATE_V2
	0x50009418, // BTRFS_IOC_SUBVOL_CREATE_V2
	0x4008941a, // BTRFS_IOC_SUBVOL_SETFLAGS
	0xc0c89425, // BTRFS_IOC_SET_RECEIVED_SUBVOL
	0x5000943f, // BTRFS_IOC_SNAP_DESTROY_V2
}

var (
	allow  = answer{ret: unix.SECCOMP_RET_ALLOW}
	eperm  = answer{ret: unix.SECCOMP_RET_ERRNO | uint32(unix.EPERM)}
	absent = answer{ret: unix.SECCOMP_RET_ERRNO | uint32(unix.ENOSYS)}
)

func (a answer) equal(b answer) bool {
	return a.ret == b.ret && a.bits == b.bits && slices.Equal(a.are, b.are) && slices.Equal(a.only, b.only) &&
		slices.Equal(a.asks, b.asks)
}

// Offsets in struct seccomp_data (seccomp(2)); the low word of an argument comes first on little-endian machines.
const (
	offNumber = 0
	offArch   = 4
	offArg0   = 16
	offArg1   = 24
)

// code answers for one leaf of the tree.
func (a answer) code() []bpf.Instruction {
	if len(a.asks) > 0 {
		c := []bpf.Instruction{bpf.LoadAbsolute{Off: offArg1, Size: 4}}
		for i, v := range a.asks {
			c = append(c, bpf.JumpIf{Cond: bpf.JumpEqual, Val: v, SkipTrue: uint8(len(a.asks) - i)})
		}
		return append(c, bpf.RetConstant{Val: a.ret}, bpf.RetConstant{Val: unix.SECCOMP_RET_ERRNO | uint32(unix.ENOTTY)})
	}
	if a.bits == 0 && len(a.are) == 0 && len(a.only) == 0 {
		return []bpf.Instruction{bpf.RetConstant{Val: a.ret}}
	}
	c := []bpf.Instruction{bpf.LoadAbsolute{Off: offArg0, Size: 4}}
	if a.bits != 0 {
		c = append(c, bpf.JumpIf{Cond: bpf.JumpBitsNotSet, Val: a.bits, SkipTrue: 1}, bpf.RetConstant{Val: absent.ret})
	}
	for _, v := range a.are {
		c = append(c, bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: v, SkipTrue: 1}, bpf.RetConstant{Val: absent.ret})
	}
	for i, v := range a.only {
		c = append(c, bpf.JumpIf{Cond: bpf.JumpEqual, Val: v, SkipTrue: uint8(len(a.only) - i)})
	}
	if len(a.only) > 0 {
		c = append(c, bpf.RetConstant{Val: eperm.ret})
	}
	return append(c, bpf.RetConstant{Val: a.ret})
}

// span is a run of call numbers with one answer; it ends where the next begins.
type span struct {
	from uint32
	answer
}

// spans is the whole number line, first number 0; numbers without a name don't exist.
func spans(denied, missing []string, noNamespaces bool) []span {
	line := []span{{0, absent}}
	for nr := range len(callNames) + 1 {
		a, name := absent, ""
		if nr < len(callNames) {
			name = callNames[nr]
		}
		switch {
		case name == "" || slices.Contains(missing, name):
		case slices.Contains(denied, name):
			a = eperm
		case name == "socket": // these families speak to the host
			a = answer{ret: allow.ret, are: []uint32{unix.AF_ALG, unix.AF_VSOCK}}
		case name == "ioctl":
			a = answer{ret: allow.ret, asks: subvolumes}
		case name == "personality":
			a = answer{ret: allow.ret, only: personas}
		case name == "clone" && noNamespaces:
			a = answer{ret: allow.ret, bits: newNamespaces}
		default:
			a = allow
		}
		switch end := &line[len(line)-1]; {
		case end.equal(a):
		case nr == 0:
			end.answer = a
		default:
			line = append(line, span{uint32(nr), a})
		}
	}
	return line
}

// tree finds the span of the number in the accumulator by halving: when a filter is installed the kernel runs it once for each call
// number to learn which are always allowed (seccomp_cache_prepare), so a list of comparisons costs each start a quarter million steps.
func tree(line []span) ([]bpf.Instruction, error) {
	if len(line) == 1 {
		return line[0].code(), nil
	}
	half := len(line) / 2
	low, err := tree(line[:half])
	if err != nil {
		return nil, err
	}
	high, err := tree(line[half:])
	if err != nil {
		return nil, err
	}
	if len(low) > 255 {
		return nil, fmt.Errorf("seccomp filter: jump of %d instructions, at most 255 are possible", len(low))
	}
	return slices.Concat([]bpf.Instruction{bpf.JumpIf{Cond: bpf.JumpGreaterOrEqual, Val: line[half].from, SkipTrue: uint8(len(low))}},
		low, high), nil
}

// seccompProgram assembles a filter. Other doors into the kernel (32 bit, x32) are absent: their numbers mean other calls.
func seccompProgram(denied, missing []string, noNamespaces bool) ([]bpf.Instruction, error) {
	body, err := tree(spans(denied, missing, noNamespaces))
	if err != nil {
		return nil, err
	}
	return append([]bpf.Instruction{
		bpf.LoadAbsolute{Off: offArch, Size: 4},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: unix.AUDIT_ARCH_X86_64, SkipTrue: 1},
		bpf.RetConstant{Val: absent.ret},
		bpf.LoadAbsolute{Off: offNumber, Size: 4},
	}, body...), nil
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
