// Package profile says what a profile means to the kernel.
//
// Owns: capabilities, system call filters, limits of open files, sysctls, devices and stop signals of the profiles app and system.
// In: a host.Profile, what a container or a command is to execute.
// Out: what the spawner executes it with.
// Never: starts a process, reads a file, or lets one container have more than another of its profile.
package profile

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"hardnode.dev/agent/container/account"
	"hardnode.dev/agent/spawner/call"
	"hardnode.dev/agent/sys"
	"hardnode.dev/internal/wire/host"
)

// Settings is what a host.Profile means to the kernel. Capabilities count only inside the container's user namespace.
type Settings struct {
	caps       uint64
	noNewPrivs bool
	seccomp    []byte
	noFile     [2]int64 // RLIMIT_NOFILE soft, hard
	Sysctls    []call.Sysctl
	stop       unix.Signal
	env        map[string]string // defaults
	oomAdjust  int
}

func capSet(list ...uint) (set uint64) {
	for _, c := range list {
		set |= 1 << c
	}
	return set
}

// appCaps is what container engines grant by default, without NET_RAW (ping works by ping_group_range) and MKNOD (nodes are fixed).
var appCaps = capSet(unix.CAP_CHOWN, unix.CAP_DAC_OVERRIDE, unix.CAP_FOWNER, unix.CAP_FSETID, unix.CAP_KILL, unix.CAP_SETGID,
	unix.CAP_SETUID, unix.CAP_SETPCAP, unix.CAP_NET_BIND_SERVICE, unix.CAP_SYS_CHROOT, unix.CAP_AUDIT_WRITE, unix.CAP_SETFCAP)

// systemCaps is all but what reaches beyond a user namespace.
var systemCaps = (uint64(1)<<(unix.CAP_LAST_CAP+1) - 1) &^ capSet(unix.CAP_SYS_MODULE, unix.CAP_SYS_RAWIO, unix.CAP_SYS_TIME,
	unix.CAP_MAC_OVERRIDE, unix.CAP_MAC_ADMIN, unix.CAP_SYSLOG, unix.CAP_BPF, unix.CAP_PERFMON, unix.CAP_WAKE_ALARM, unix.CAP_BLOCK_SUSPEND)

// Devices are the character devices any container may open: null, zero, full, random, urandom, tty, console, ptmx and terminals.
var Devices = []sys.Device{{Major: 1, Minor: 3}, {Major: 1, Minor: 5}, {Major: 1, Minor: 7}, {Major: 1, Minor: 8}, {Major: 1, Minor: 9},
	{Major: 5, Minor: 0}, {Major: 5, Minor: 1}, {Major: 5, Minor: 2}, {Major: 136, Minor: sys.AnyMinor}}

const searchPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// Each profile is made when it is first asked for: each start and each command asks.
var (
	appSettings    = sync.OnceValues(func() (Settings, error) { return of(host.ProfileApp) })
	systemSettings = sync.OnceValues(func() (Settings, error) { return of(host.ProfileSystem) })
)

// Of gives a profile's settings. Nobody changes what they hold.
func Of(p host.Profile) (Settings, error) {
	if p == host.ProfileSystem {
		return systemSettings()
	}
	return appSettings()
}

func of(p host.Profile) (Settings, error) {
	out := Settings{
		noFile: [2]int64{1024, 524288}, stop: unix.SIGTERM, oomAdjust: 100,
		Sysctls: []call.Sysctl{
			{Path: "net/ipv4/ip_unprivileged_port_start", Value: "0"},
			{Path: "net/ipv4/ping_group_range", Value: "0 65535"},
		},
		env: map[string]string{"PATH": searchPath},
	}
	var err error
	if p == host.ProfileSystem {
		out.caps = systemCaps
		out.stop = unix.Signal(rtmin + 3)
		out.env["container"] = "hardnode"
		out.env["TERM"] = "dumb" // what its console is: a log
		out.seccomp, err = seccompFor(systemDenied, systemAbsent, false)
	} else {
		out.caps = appCaps
		out.noNewPrivs = true
		out.noFile[0] = 65536
		out.Sysctls = append(out.Sysctls, call.Sysctl{Path: "user/max_user_namespaces", Value: "0"})
		out.seccomp, err = seccompFor(appDenied, appAbsent, true)
	}
	if err != nil {
		return Settings{}, fmt.Errorf("make seccomp filter of profile %s: %w", p, err)
	}
	return out, nil
}

// rtmin is SIGRTMIN as C libraries count it; glibc keeps two real-time signals for itself.
const rtmin = 34

// StopSignal is the signal that asks PID 1 to end.
func StopSignal(p host.Process, profile host.Profile) (unix.Signal, error) {
	if p.StopWith == "" {
		if profile == host.ProfileSystem {
			return unix.Signal(rtmin + 3), nil
		}
		return unix.SIGTERM, nil
	}
	if n, ok := strings.CutPrefix(p.StopWith, "SIGRTMIN+"); ok {
		if k, err := strconv.Atoi(n); err == nil && k >= 0 && rtmin+k <= 64 {
			return unix.Signal(rtmin + k), nil
		}
	} else if s := unix.SignalNum(p.StopWith); s != 0 {
		return s, nil
	}
	return 0, fmt.Errorf("stop signal %q: want a name such as SIGQUIT", p.StopWith)
}

// halts are the signals by which inits that are not systemd stop all that they run, in order, and end: by name of their program. Busybox's
// powers off. SysV's knows the keys of a terminal alone, for which Debian's inittab(5) has shutdown(8) reboot; the namespace ends by that
// too, and whoever asked does not start it again. OpenRC's own halts.
var halts = map[string]string{"busybox": "SIGUSR2", "init": "SIGINT", "openrc-init": "SIGTERM"}

// Halts is p with the stop signal of the init that its first program turned out to be, where p names none.
func Halts(p host.Process, profile host.Profile, program string) host.Process {
	if profile == host.ProfileSystem && p.StopWith == "" {
		p.StopWith = halts[path.Base(program)]
	}
	return p
}

// StopAfter is how long PID 1 has to end.
func StopAfter(p host.Process) time.Duration {
	if p.StopAfter <= 0 {
		return 10 * time.Second
	}
	return time.Duration(p.StopAfter) * time.Second
}

// Program is what a container's first process executes.
func Program(p host.Process) string {
	if len(p.Argv) == 0 {
		return "/sbin/init"
	}
	return p.Argv[0]
}

// Process is what a container's own program is executed with.
func (pr Settings) Process(p host.Process, hostname string) call.Process {
	argv := p.Argv
	if len(argv) == 0 {
		argv = []string{Program(p)}
	}
	env := maps.Clone(pr.env)
	env["HOSTNAME"] = hostname
	maps.Copy(env, p.Env)
	c := pr.confined(argv, env, p.Cwd, p.UID, p.GID)
	c.Groups = p.Groups
	return c
}

// Command is what an exec session is executed with: the container's environment under its own.
func (pr Settings) Command(p host.Process, hostname string, e host.ExecSpec, who account.Account) call.Process {
	env := maps.Clone(pr.env)
	env["HOSTNAME"], env["HOME"] = hostname, who.Home
	if e.TTY {
		env["TERM"] = "xterm-256color"
	}
	maps.Copy(env, p.Env)
	maps.Copy(env, e.Env)
	c := pr.confined(e.Argv, env, p.Cwd, who.UID, who.GID)
	c.Groups = who.Groups
	c.OOMAdjust = CommandOOMAdjust
	return c
}

func (pr Settings) confined(argv []string, env map[string]string, cwd string, uid, gid uint32) call.Process {
	list := make([]string, 0, len(env))
	for _, k := range slices.Sorted(maps.Keys(env)) {
		list = append(list, k+"="+env[k])
	}
	if cwd == "" {
		cwd = "/"
	}
	var dirs []string
	for _, d := range strings.Split(env["PATH"], ":") {
		if strings.HasPrefix(d, "/") {
			dirs = append(dirs, d)
		}
	}
	return call.Process{Argv: argv, Env: list, Path: dirs, Cwd: cwd, UID: uid, GID: gid, Caps: pr.caps, NoNewPrivs: pr.noNewPrivs,
		Seccomp: pr.seccomp, NoFile: pr.noFile, OOMAdjust: pr.oomAdjust}
}

// CommandOOMAdjust makes the kernel choose a command before any other process of a container (proc_pid_oom_score_adj(5)).
const CommandOOMAdjust = 1000
