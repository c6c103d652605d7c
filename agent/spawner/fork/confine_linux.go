package fork

import (
	"strings"

	"golang.org/x/sys/unix"

	"hardnode.dev/agent/spawner/call"
)

// confine ends every list: what the program may do, then the program. Root of the user namespace calls it; the order is fixed by what
// each step still needs (capabilities to drop capabilities, CAP_SYS_ADMIN or no_new_privs for seccomp).
func (p *Prog) confine(c *call.Process, handed ...Slot) {
	p.rlimit(unix.RLIMIT_NOFILE, uint64(c.NoFile[0]), uint64(c.NoFile[1]))
	p.rlimit(unix.RLIMIT_CORE, 0, 0)
	p.Call("set umask", unix.SYS_UMASK, 0o022)
	p.Call("enter working directory", unix.SYS_CHDIR, c.Cwd).Say("the working directory " + c.Cwd + " can't be entered")
	p.add(kindInside, "stay inside the root", 0, nil).Say("the working directory " + c.Cwd + " is not inside the container")
	p.hand(handed)
	for n := uint(0); n < 64; n++ { // numbers above the kernel's last capability are EINVAL
		if c.Caps&(1<<n) == 0 {
			p.Call("drop capability", unix.SYS_PRCTL, unix.PR_CAPBSET_DROP, n, 0, 0, 0).Allow(unix.EINVAL)
		}
	}
	p.Call("clear ambient capabilities", unix.SYS_PRCTL, unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0)
	if c.NoNewPrivs {
		p.Call("forbid new privileges", unix.SYS_PRCTL, unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
	} else {
		p.seccomp(c.Seccomp) // needs CAP_SYS_ADMIN of the namespace
	}
	p.become(c.UID, c.GID, c.Groups)
	keep := c.Caps
	if c.UID != 0 {
		keep = 0
	}
	head := object(p, unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}, "self")
	lo, hi := uint32(keep), uint32(keep>>32)
	p.Call("set capabilities", unix.SYS_CAPSET, head,
		object(p, [2]unix.CapUserData{{Effective: lo, Permitted: lo}, {Effective: hi, Permitted: hi}}, hex(keep)))
	if c.NoNewPrivs {
		p.seccomp(c.Seccomp)
	}
	argv, envp := p.vector(c.Argv, "argv"), p.vector(c.Env, "env")
	for _, prog := range candidates(c.Argv[0], c.Path) {
		p.Call("execute", unix.SYS_EXECVE, prog, argv, envp).Allow(unix.ENOENT, unix.ENOTDIR, unix.EACCES)
	}
	say := "the program " + c.Argv[0] + " can't be executed"
	if !strings.Contains(c.Argv[0], "/") {
		say += ", looked for in " + strings.Join(c.Path, ":")
	}
	p.Call("execute", unix.SYS_EXECVE, candidates(c.Argv[0], c.Path)[0], argv, envp).Say(say)
}

// raise copies the descriptors that are for the program above the numbers that it will have them at, which are anybody's until then.
func (p *Prog) raise(fds []int) (at []Slot) {
	p.use(fds...)
	p.handed = len(fds)
	for _, fd := range fds {
		at = append(at, p.Call("take descriptor for the program", unix.SYS_FCNTL, fd, unix.F_DUPFD_CLOEXEC, firstHanded+len(fds)).Into())
	}
	return at
}

// hand gives the program the descriptors that raise took, and none besides but stdio.
func (p *Prog) hand(handed []Slot) {
	for i, at := range handed {
		p.Call("hand descriptor to the program", unix.SYS_DUP3, at, firstHanded+i, 0)
	}
	p.Call("close what is not meant for the program", unix.SYS_CLOSE_RANGE, firstHanded+len(handed), ^uint32(0), unix.CLOSE_RANGE_CLOEXEC)
}

// candidates are the files argv0 may mean.
func candidates(argv0 string, dirs []string) []string {
	if strings.Contains(argv0, "/") || len(dirs) == 0 {
		return []string{argv0}
	}
	var list []string
	for _, d := range dirs {
		list = append(list, strings.TrimSuffix(d, "/")+"/"+argv0)
	}
	return list
}

func (p *Prog) rlimit(which int, soft, hard uint64) {
	p.Call("set rlimit", unix.SYS_PRLIMIT64, 0, which, object(p, unix.Rlimit{Cur: soft, Max: hard}, hex(soft)+":"+hex(hard)), 0)
}

func (p *Prog) seccomp(filter []byte) {
	if len(filter) == 0 {
		return
	}
	code := p.bytes(filter, "filter")
	prog := object(p, unix.SockFprog{Len: uint16(len(filter) / 8), Filter: (*unix.SockFilter)(code.p)},
		"filter of "+hex(uint64(len(filter)/8)))
	p.Call("install seccomp", unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, 0, prog)
}

func hex(v uint64) string {
	const digits = "0123456789abcdef"
	if v == 0 {
		return "0"
	}
	var b []byte
	for ; v > 0; v >>= 4 {
		b = append([]byte{digits[v&15]}, b...)
	}
	return "0x" + string(b)
}

// ExecFDs are the descriptors an exec list uses.
type ExecFDs struct {
	PIDFD, Stdin, Stdout, Stderr int
}

// ExecList is the list that joins a running container, through its PID 1's pidfd, and executes a command with the container's
// confinement, for Start with that pidfd.
func (p *Prog) ExecList(e *call.Exec, fd ExecFDs) {
	p.use(fd.PIDFD, fd.Stdin, fd.Stdout, fd.Stderr)
	p.oomAdjust(e.OOMAdjust)
	const join = unix.CLONE_NEWUSER | unix.CLONE_NEWNS | unix.CLONE_NEWNET | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC
	if e.Beside {
		p.Call("join container", unix.SYS_SETNS, fd.PIDFD, join)
		p.Call("make cgroup namespace", unix.SYS_UNSHARE, unix.CLONE_NEWCGROUP)
	} else {
		p.Call("join container", unix.SYS_SETNS, fd.PIDFD, join|unix.CLONE_NEWCGROUP)
	}
	p.become(0, 0, nil)
	p.Call("lead a session", unix.SYS_SETSID)
	for i, f := range []int{fd.Stdin, fd.Stdout, fd.Stderr} {
		p.Call("connect stdio", unix.SYS_DUP3, f, i, 0)
	}
	if e.TTY {
		p.Call("take terminal", unix.SYS_IOCTL, 0, unix.TIOCSCTTY, 0)
	}
	p.confine(&e.Process)
}
