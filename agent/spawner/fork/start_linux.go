package fork

import (
	"path"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"hardnode.dev/agent/spawner/call"
)

// StartFDs are the descriptors a start list uses, as numbers valid in the child.
type StartFDs struct {
	Lower, Layer   int
	Mounts         []int
	Handed         []int // to the program
	Stdout, Stderr int
	Console        string // the terminal that /dev/console is, as a path of the host; "" for none. It is the program's stdio then
}

// StartList is the list that makes a container and executes its program, for Hold: the child is in the container's cgroup and
// namespaces from its first moment, but for the cgroup namespace, whose root is the cgroup its maker is in.
func (p *Prog) StartList(s *call.Start, fd StartFDs) {
	p.add(kindGate, "wait at the gate", 0, []any{0})
	p.use(fd.Lower, fd.Layer, fd.Stdout, fd.Stderr)
	p.use(fd.Mounts...)
	handed := p.raise(fd.Handed)
	p.Call("make cgroup namespace", unix.SYS_UNSHARE, unix.CLONE_NEWCGROUP)
	p.become(0, 0, nil)
	p.Call("set umask", unix.SYS_UMASK, 0)
	p.Call("make mounts private", unix.SYS_MOUNT, "", "/", "", unix.MS_REC|unix.MS_PRIVATE, 0)

	work, root := p.rootfs(s, fd)
	var late []int
	for i, m := range s.Mounts {
		if m.Early {
			p.volume(root, m, fd.Mounts[i])
		} else {
			late = append(late, i)
		}
	}
	proc := p.proc(s, root)
	dev := p.dev(s, root, fd.Console)
	p.sys(s, work, root)
	p.run(s, root)
	for _, i := range late {
		p.late(root, s.Mounts[i], fd.Mounts[i])
	}
	p.etc(s, root)
	p.Call("make directory", unix.SYS_MKDIRAT, root, "tmp", 0o1777).Allow(unix.EEXIST)
	p.loopback()
	for _, c := range s.Sysctls {
		p.setting(proc, "sys/"+c.Path, c.Value)
	}
	if !s.System {
		p.freeze(proc)
	}

	p.workdir(root, &s.Process)

	p.Call("enter root", unix.SYS_FCHDIR, root)
	p.Call("pivot root", unix.SYS_PIVOT_ROOT, ".", ".")
	p.Call("let go of old root", unix.SYS_UMOUNT2, ".", unix.MNT_DETACH)
	p.Call("enter root", unix.SYS_CHDIR, "/")
	p.Call("set host name", unix.SYS_SETHOSTNAME, s.Hostname, len(s.Hostname))
	p.stdio(dev, fd)
	if s.Reaper {
		all := ^uint64(0)
		p.Call("name the reaper", unix.SYS_PRCTL, unix.PR_SET_NAME, "reaper", 0, 0, 0)
		p.Call("block signals", unix.SYS_RT_SIGPROCMASK, 0, object(p, all, "all"), 0, 8)
		p.add(kindReap, "start the program behind the reaper", 0, nil)
		p.Call("unblock signals", unix.SYS_RT_SIGPROCMASK, 1, object(p, all, "all"), 0, 8)
	}
	p.Call("lead a session", unix.SYS_SETSID)
	p.confine(&s.Process, handed...)
}

// stdio connects the program. The first one of a full OS has its console for all three, as the kernel gives it to init(1): an init that
// opens none of its own, busybox's say, starts a shell on what it has itself. It is opened by its name inside, by which programs find what
// terminal they are on, and controls nobody: it is there for the session that takes it.
func (p *Prog) stdio(dev Slot, fd StartFDs) {
	if fd.Console != "" {
		opened := p.Call("open /dev/console", unix.SYS_OPENAT, dev, "console", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC).Into()
		// its number may be one of those it is to have, to which dup3(2) does not copy it
		console := p.Call("raise console", unix.SYS_FCNTL, opened, unix.F_DUPFD_CLOEXEC, firstHanded).Into()
		for n := range firstHanded {
			p.Call("connect console", unix.SYS_DUP3, console, n, 0)
		}
		return
	}
	null := p.Call("open /dev/null", unix.SYS_OPENAT, dev, "null", unix.O_RDWR|unix.O_CLOEXEC).Into()
	p.Call("connect stdin", unix.SYS_DUP3, null, 0, 0)
	p.Call("connect stdout", unix.SYS_DUP3, fd.Stdout, 1, 0)
	p.Call("connect stderr", unix.SYS_DUP3, fd.Stderr, 2, 0)
}

// workdir makes the working directory if no layer and no volume has it, for the program's user, as common engines do.
func (p *Prog) workdir(root Slot, c *call.Process) {
	parts := strings.FieldsFunc(path.Clean(c.Cwd), func(r rune) bool { return r == '/' })
	if len(parts) == 0 {
		return
	}
	say := "the working directory " + c.Cwd + " can't be made in the image"
	at := root
	if len(parts) > 1 {
		at = p.mkdirAll(root, strings.Join(parts[:len(parts)-1], "/"))
	}
	last := parts[len(parts)-1]
	made := p.Call("make working directory", unix.SYS_MKDIRAT, at, last, 0o755).Allow(unix.EEXIST, unix.ENOENT, unix.EROFS).Say(say)
	p.Call("own working directory", unix.SYS_FCHOWNAT, at, last, c.UID, c.GID, unix.AT_SYMLINK_NOFOLLOW).Say(say)
	made.SkipTo()
	if at != root {
		p.closeSlot(at)
	}
}

// become takes ids of the user namespace; root there keeps its capabilities.
func (p *Prog) become(uid, gid uint32, groups []uint32) {
	if len(groups) == 0 {
		p.Call("drop groups", unix.SYS_SETGROUPS, 0, 0)
	} else {
		p.Call("set groups", unix.SYS_SETGROUPS, len(groups), p.words(groups))
	}
	p.Call("set gid", unix.SYS_SETRESGID, gid, gid, gid)
	p.Call("set uid", unix.SYS_SETRESUID, uid, uid, uid)
}

// oomAdjust replaces what the child has from the spawner; it must come while /proc is the host's.
func (p *Prog) oomAdjust(score int) {
	v := strconv.Itoa(score)
	f := p.Call("open", unix.SYS_OPENAT, unix.AT_FDCWD, "/proc/self/oom_score_adj", unix.O_WRONLY|unix.O_CLOEXEC).Into()
	p.Call("write", unix.SYS_WRITE, f, v, len(v))
	p.closeSlot(f)
}

// setting writes one file below a procfs that is surely ours: its mount came from fsmount in this list.
func (p *Prog) setting(proc Slot, name, value string) {
	f := p.openat2("open setting", proc, name, unix.O_WRONLY, 0, unix.RESOLVE_BENEATH|unix.RESOLVE_NO_SYMLINKS|unix.RESOLVE_NO_XDEV).Into()
	p.Call("write setting", unix.SYS_WRITE, f, value, len(value))
	p.closeSlot(f)
}

// rootfs mounts the overlay from inside the user namespace, as overlayfs wants it, on a tmpfs over s.Scratch that only this mount
// namespace sees. 6.12 takes layers only when they are attached, hence move_mount first and /proc/self/fd names after. Without an UUID of
// its own statfs(2) names the overlay as it names the layer (overlayfs, "UUID and fsid"): agent/quotaview knows it by that.
func (p *Prog) rootfs(s *call.Start, fd StartFDs) (work, root Slot) {
	p.Call("mount scratch", unix.SYS_MOUNT, "tmpfs", s.Scratch, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "mode=700,size=64k")
	work = p.Call("open scratch", unix.SYS_OPENAT, unix.AT_FDCWD, s.Scratch, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC).Into()
	for _, d := range []string{"lower", "layer", "root", "sysfs"} {
		p.Call("make directory", unix.SYS_MKDIRAT, work, d, 0o700)
	}
	p.covers(s, work)
	p.attach("lower layer", fd.Lower, work, "lower")
	p.attach("own layer", fd.Layer, work, "layer")
	layer := "/proc/self/fd/" + strconv.Itoa(fd.Layer)
	root = p.newfs("overlay", unix.MOUNT_ATTR_NODEV, "source=hardnode", "lowerdir=/proc/self/fd/"+strconv.Itoa(fd.Lower),
		"upperdir="+layer+"/u", "workdir="+layer+"/w", "userxattr", "uuid=null")
	p.attach("root", root, work, "root")
	return work, root
}

// volume attaches an early mount; its path is resolved inside the root while nothing but the image and volumes is there.
func (p *Prog) volume(root Slot, m call.Mount, tree int) {
	t := p.mkdirAll(root, m.Path)
	p.attachOn("volume", tree, t)
	p.closeSlot(t)
}

// late attaches a mount below what this list has mounted itself.
func (p *Prog) late(root Slot, m call.Mount, tree int) {
	rel := strings.TrimPrefix(path.Clean(m.Path), "/")
	dir := p.mkdirAll(root, path.Dir("/"+rel))
	name := path.Base(rel)
	flags := uint64(unix.O_PATH | unix.O_NOFOLLOW)
	if m.File {
		f := p.Call("make mount point", unix.SYS_OPENAT, dir, name, unix.O_CREAT|unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_CLOEXEC,
			0o600).Allow(unix.EROFS)
		n := f.Into()
		p.closeSlot(n)
		f.SkipTo()
	} else {
		p.Call("make directory", unix.SYS_MKDIRAT, dir, name, 0o755).Allow(unix.EEXIST)
		flags |= unix.O_DIRECTORY
	}
	t := p.openat2("open mount point", dir, name, flags, 0, resolveStrict).Into()
	p.attachOn(m.Path, tree, t)
	p.closeSlot(t)
	if dir != root {
		p.closeSlot(dir)
	}
}

// covers makes what is laid over parts of /proc and in place of /sys, in a mount that is read-only, as all copies of it are then.
func (p *Prog) covers(s *call.Start, work Slot) {
	for _, d := range append([]string{"ro", "ro/empty", "ro/sys"}, sysDirs...) {
		p.Call("make directory", unix.SYS_MKDIRAT, work, d, 0o555)
	}
	p.Call("make mask", unix.SYS_MKNODAT, work, "ro/mask", unix.S_IFREG, 0)
	p.readOnly("covers", s.Scratch+"/ro")
}

// readOnly makes a mount of a directory or file, read-only. The path must be of our own making or the kernel's.
func (p *Prog) readOnly(what, path string) Step {
	first := p.Call("mount "+what, unix.SYS_MOUNT, path, path, "", unix.MS_BIND, 0).Allow(unix.ENOENT)
	p.Call("make read-only", unix.SYS_MOUNT, "", path, "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY|unix.MS_NOSUID|unix.MS_NODEV|
		unix.MS_NOEXEC, 0)
	first.SkipTo()
	return first
}

// hidden are what containers don't see of /proc: what names the host's hardware, disks, modules or boot, and what engines hide. A dir is
// hidden by an empty one. Names are the kernel's; those that this one does not have are left out.
var hidden = []struct {
	name string
	dir  bool
}{{"acpi", true}, {"asound", true}, {"bus", true}, {"driver", true}, {"dynamic_debug", true}, {"fs", true}, {"irq", true}, {"scsi", true},
	{"tty", true}, {"bootconfig", false}, {"cmdline", false}, {"config.gz", false}, {"consoles", false}, {"diskstats", false},
	{"dma", false}, {"interrupts", false}, {"iomem", false}, {"ioports", false}, {"kallsyms", false}, {"kcore", false},
	{"key-users", false}, {"keys", false}, {"kmsg", false}, {"latency_stats", false}, {"mdstat", false}, {"modules", false},
	{"mtrr", false}, {"partitions", false}, {"sched_debug", false}, {"swaps", false}, {"sysrq-trigger", false}, {"timer_list", false},
	{"timer_stats", false}}

// own are what a container sees of itself in /proc, where its host has a view of it (call.Start.View); pressure and the processors online
// in /sys beside them.
var own = []string{"cpuinfo", "diskstats", "loadavg", "meminfo", "stat", "swaps", "uptime"}

// proc mounts a new /proc and hides parts of it behind inodes of our own, never the container's (CVE-2025-31133). It is mounted nowhere
// but on a directory of the image (CVE-2019-19921), and its entries are reached from its own top.
func (p *Prog) proc(s *call.Start, root Slot) Slot {
	proc := p.newfs("proc", mountQuiet)
	t := p.point(root, "proc", 0o555)
	p.attachOn("/proc", proc, t)
	p.closeSlot(t)
	p.Call("enter /proc", unix.SYS_FCHDIR, proc)
	for _, h := range hidden {
		if s.View != "" && slices.Contains(own, h.name) {
			continue
		}
		p.Call("hide in /proc", unix.SYS_MOUNT, s.Scratch+map[bool]string{true: "/ro/empty", false: "/ro/mask"}[h.dir], h.name, "",
			unix.MS_BIND, 0).
			Allow(unix.ENOENT)
	}
	if s.View == "" {
		p.readOnly("pressure", "pressure")
		return proc
	}
	for _, name := range own {
		p.Call("show in /proc", unix.SYS_MOUNT, s.View+"/"+name, name, "", unix.MS_BIND, 0)
	}
	p.Call("show in /proc", unix.SYS_MOUNT, s.View+"/pressure", "pressure", "", unix.MS_BIND, 0).Allow(unix.ENOENT)
	return proc
}

// freeze makes /proc/sys read-only, once the settings are written.
func (p *Prog) freeze(proc Slot) {
	p.Call("enter /proc", unix.SYS_FCHDIR, proc)
	p.readOnly("settings", "sys")
}

// shown are the parts of sysfs that a container sees: its own links, and what programs size themselves by. sysDirs are the places for
// them, and for its cgroups, parents first.
var (
	shown   = []string{"class/net", "devices/virtual/net", "devices/system/cpu", "devices/system/node", "kernel/mm"}
	sysDirs = []string{"ro/sys/class", "ro/sys/class/net", "ro/sys/devices", "ro/sys/devices/virtual", "ro/sys/devices/virtual/net",
		"ro/sys/devices/system", "ro/sys/devices/system/cpu", "ro/sys/devices/system/node", "ro/sys/kernel", "ro/sys/kernel/mm",
		"ro/sys/fs", "ro/sys/fs/cgroup"}
)

// sys mounts a read-only /sys of a few parts of sysfs, and the container's own cgroup tree. The whole of sysfs is mounted nowhere inside,
// so that not even root of a system container can mount it anew (the kernel lets it show again only what it sees).
func (p *Prog) sys(s *call.Start, work, root Slot) {
	sys := p.newfs("sysfs", mountQuiet|unix.MOUNT_ATTR_RDONLY)
	p.attach("sysfs", sys, work, "sysfs")
	p.closeSlot(sys)
	top := p.clone(work, "ro/sys")
	t := p.point(root, "sys", 0o555)
	p.attachOn("/sys", top, t)
	p.closeSlot(t)
	p.Call("enter /sys", unix.SYS_FCHDIR, top)
	for _, name := range shown {
		p.Call("show in /sys", unix.SYS_MOUNT, s.Scratch+"/sysfs/"+name, name, "", unix.MS_BIND, 0).Allow(unix.ENOENT)
	}
	if s.View != "" {
		p.Call("show in /sys", unix.SYS_MOUNT, s.View+"/online", "devices/system/cpu/online", "", unix.MS_BIND, 0).Allow(unix.ENOENT)
	}
	attrs := mountQuiet
	if !s.System {
		attrs |= unix.MOUNT_ATTR_RDONLY
	}
	cg := p.newfs("cgroup2", attrs)
	p.attach("/sys/fs/cgroup", cg, top, "fs/cgroup")
	p.closeSlot(cg)
	p.closeSlot(top)
}

// dev mounts a private /dev with a fixed set of the host's nodes and a devpts of its own.
func (p *Prog) dev(s *call.Start, root Slot, console string) Slot {
	dev := p.newfs("tmpfs", unix.MOUNT_ATTR_NOSUID|unix.MOUNT_ATTR_NOEXEC, "mode=755", "size=64k")
	t := p.point(root, "dev", 0o755)
	p.attachOn("/dev", dev, t)
	p.closeSlot(t)
	node := func(name, from string) {
		p.Call("make mount point", unix.SYS_MKNODAT, dev, name, unix.S_IFREG|0o666, 0)
		tree := p.clone(unix.AT_FDCWD, from)
		p.attach("/dev/"+name, tree, dev, name)
		p.closeSlot(tree)
	}
	for _, n := range []string{"null", "zero", "full", "random", "urandom", "tty"} {
		node(n, "/dev/"+n)
	}
	if console != "" {
		node("console", console)
	}
	for _, d := range []struct {
		name, kind string
		attrs      int
		opts       []string
	}{
		{"pts", "devpts", unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NOEXEC, []string{"mode=620", "ptmxmode=666", "gid=5"}},
		{"shm", "tmpfs", mountQuiet, sized(s, "mode=1777")},
	} {
		p.Call("make directory", unix.SYS_MKDIRAT, dev, d.name, 0o755)
		m := p.newfs(d.kind, d.attrs, d.opts...)
		p.attach("/dev/"+d.name, m, dev, d.name)
		p.closeSlot(m)
	}
	for _, l := range [][2]string{{"pts/ptmx", "ptmx"}, {"/proc/self/fd", "fd"}, {"/proc/self/fd/0", "stdin"},
		{"/proc/self/fd/1", "stdout"}, {"/proc/self/fd/2", "stderr"}} {
		p.Call("make link", unix.SYS_SYMLINKAT, l[0], dev, l[1])
	}
	return dev
}

// sized are the options of a tmpfs that is as large as the container's memory allows.
func sized(s *call.Start, opts ...string) []string {
	if s.Shared > 0 {
		opts = append(opts, "size="+strconv.FormatInt(s.Shared, 10))
	}
	return opts
}

// run mounts an empty /run and makes the directories the image wants there.
func (p *Prog) run(s *call.Start, root Slot) {
	m := p.newfs("tmpfs", unix.MOUNT_ATTR_NOSUID|unix.MOUNT_ATTR_NODEV, sized(s, "mode=755")...)
	t := p.place(root, "run", 0o755)
	p.attachOn("/run", m, t)
	p.closeSlot(t)
	for _, d := range s.Dirs {
		p.Call("make directory in /run", unix.SYS_MKDIRAT, m, d.Path, d.Mode).Allow(unix.EEXIST)
		p.Call("own directory in /run", unix.SYS_FCHOWNAT, m, d.Path, d.UID, d.GID, unix.AT_SYMLINK_NOFOLLOW)
		p.Call("set mode of directory in /run", unix.SYS_FCHMODAT, m, d.Path, d.Mode) // mkdir leaves set-gid out
	}
	for _, t := range s.RunTexts {
		p.text(m, t, "write in /run")
	}
	p.closeSlot(m)
}

// text writes a file that is not there yet.
func (p *Prog) text(dir Slot, t call.Text, what string) {
	f := p.Call(what, unix.SYS_OPENAT, dir, t.Name, unix.O_CREAT|unix.O_EXCL|unix.O_WRONLY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o644).Into()
	p.Call(what, unix.SYS_WRITE, f, p.bytes(t.Data, t.Name), len(t.Data))
	p.closeSlot(f)
}

// etc writes the files of /etc that belong to this start. What the image has under the name, be it a symlink, is replaced.
func (p *Prog) etc(s *call.Start, root Slot) {
	if len(s.Texts) == 0 {
		return
	}
	etc := p.place(root, "etc", 0o755)
	for _, t := range s.Texts {
		p.Call("replace in /etc", unix.SYS_UNLINKAT, etc, t.Name, 0).Allow(unix.ENOENT, unix.EISDIR).
			Say("the image's /etc/" + t.Name + " can't be replaced")
		p.Call("replace in /etc", unix.SYS_UNLINKAT, etc, t.Name, unix.AT_REMOVEDIR).Allow(unix.ENOENT).
			Say("the image's /etc/" + t.Name +
				" is a directory with something in it; it must be a file or not be there, this host writes it")
		p.text(etc, t, "write in /etc")
	}
	p.closeSlot(etc)
}

// loopback brings "lo" up.
func (p *Prog) loopback() {
	s := p.Call("make socket", unix.SYS_SOCKET, unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0).Into()
	var ifr [40]byte // struct ifreq: name, then flags
	copy(ifr[:], "lo")
	ifr[16] = unix.IFF_UP
	p.Call("bring lo up", unix.SYS_IOCTL, s, unix.SIOCSIFFLAGS, object(p, ifr, "lo up"))
	p.closeSlot(s)
}
