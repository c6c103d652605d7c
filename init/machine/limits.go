package machine

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"hardnode.dev/init/console"
	"hardnode.dev/init/sys"
	"hardnode.dev/internal/run"
	"hardnode.dev/internal/wire/boot"
)

// setting is one value below /proc/sys (or an absolute path), with the reason it is not the kernel's own.
type setting struct{ Path, Value, Reason string }

// settings make room for thousands of containers and close what a host never needs.
var settings = []setting{
	{"kernel/printk_devkmsg", "on\n", "init's lines must not be rate limited"},
	{"/sys/module/printk/parameters/always_kmsg_dump", "Y", "pstore keeps the reason of an ordered reboot too"},
	{"kernel/panic", "10", "an unattended host comes back"},
	{"kernel/panic_on_oops", "1", "a host with a broken kernel must not go on"},
	{"kernel/sysrq", "0", "a console is not a way in"},
	{"kernel/kptr_restrict", "2", "kernel addresses are nobody's business"},
	{"kernel/dmesg_restrict", "1", "containers must not read the host's log"},
	{"kernel/unprivileged_bpf_disabled", "1", "containers have no business there"},
	{"kernel/yama/ptrace_scope", "1", "one service of a container can't read another's memory"},
	{"kernel/pid_max", "4194304", "thousands of containers"},
	{"kernel/keys/maxkeys", "100000", "a keyring for each container's users"},
	{"kernel/keys/maxbytes", "50000000", "likewise"},
	{"kernel/pty/max", "65536", "terminals in containers"},
	{"fs/inotify/max_user_instances", "1048576", "systemd and users' programs, counted for each user namespace's owner"},
	{"fs/inotify/max_user_watches", "4194304", "likewise"},
	{"fs/inotify/max_queued_events", "1048576", "likewise"},
	{"fs/aio-max-nr", "1048576", "databases"},
	{"fs/nr_open", "1073741816", "hard limits that containers may ask for"},
	{"fs/mount-max", "1000000", "each container has a tree of its own; the limit is for each mount namespace"},
	{"fs/protected_fifos", "2", "shared directories"},
	{"fs/protected_regular", "2", "shared directories"},
	{"user/max_user_namespaces", "100000", "one a container, and theirs"},
	{"user/max_net_namespaces", "100000", "one a container; also the brake on pending destruction"},
	{"user/max_pid_namespaces", "100000", "one a container, and theirs"},
	{"user/max_mnt_namespaces", "100000", "one a container, and theirs"},
	{"user/max_cgroup_namespaces", "100000", "one a container"},
	{"vm/max_map_count", "1048576", "search engines and Java"},
	{"vm/overcommit_memory", "1", "cgroups limit memory, not guesses at fork"},
	{"vm/panic_on_oom", "0", "the kernel kills inside the cgroup"},
	{"net/core/bpf_jit_limit", "1000000000", "seccomp filters of thousands of containers"},
	{"net/core/somaxconn", "8192", "web servers"},
	{"net/core/netdev_max_backlog", "8192", "many veths on few queues"},
	{"net/ipv4/ip_forward", "1", "containers are routed"},
	{"net/ipv6/conf/all/forwarding", "1", "containers are routed"},
	{"net/ipv4/conf/all/rp_filter", "0", "the firewall checks sources (nft fib), which knows of moved addresses"},
	{"net/ipv4/conf/default/rp_filter", "0", "likewise"},
	{"net/ipv4/conf/all/accept_redirects", "0", "routes come from the platform only"},
	{"net/ipv4/conf/all/send_redirects", "0", "likewise"},
	{"net/ipv4/neigh/default/gc_thresh3", "65536", "neighbours of thousands of containers"},
	{"net/ipv4/neigh/default/gc_thresh2", "32768", "likewise"},
	{"net/ipv6/neigh/default/gc_thresh3", "65536", "likewise"},
	{"net/ipv6/neigh/default/gc_thresh2", "32768", "likewise"},
	{"net/ipv4/ip_local_port_range", "16384 60999", "many outgoing connections"},
	{"net/ipv4/tcp_tw_reuse", "1", "proxies"},
}

// maxFiles is the limit of open files the services inherit: what systemd wants inside containers fits below it.
const maxFiles = 1 << 20

func (m *Machine) stepLimits(context.Context) (string, error) {
	var failed []string
	for _, s := range settings {
		path := s.Path
		if !filepath.IsAbs(path) {
			path = filepath.Join("/proc/sys", path)
		}
		if err := os.WriteFile(path, []byte(s.Value), 0); err != nil && !os.IsNotExist(err) {
			failed = append(failed, s.Path)
		}
	}
	if err := sys.RaiseFiles(maxFiles); err != nil {
		failed = append(failed, err.Error())
	}
	if err := sys.SetHostname("hardnode"); err != nil {
		failed = append(failed, err.Error())
	}
	if len(failed) > 0 {
		return "", fmt.Errorf("not set: %s", strings.Join(failed, ", "))
	}
	return fmt.Sprintf("%d settings", len(settings)), nil
}

// Which of the kernel's messages reach the terminals, those below the level; all of them are in its log. While the machine boots its errors
// may be why it does not come up. Afterwards what it says of one container (an out-of-memory kill is an error to it) or of one driver would
// bury the host's state, so only what the whole machine suffers from is shown. init's own last words are emergencies.
const (
	kernelBooting = 4 // errors and worse
	kernelRunning = 3 // critical conditions and worse
	kernelQuiet   = 1 // emergencies, while a terminal shows a screen; a panic is shown whatever the level is
)

// kernelLevel sets the level, now or when the terminals are not quiet any more.
func (m *Machine) kernelLevel(level int) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.mu.level = level
	if m.mu.quiets > 0 {
		return nil
	}
	return sys.ConsoleLevel(level)
}

// mostQuiets is how many may want the terminals quiet at once.
const mostQuiets = 32

// quiet keeps init's lines off a terminal, and the kernel's off all of them, until undo is called; nil: there is no such terminal.
func (m *Machine) quiet(tty string) (undo func()) {
	talk, ok := m.con.Quiet(tty)
	if !ok {
		return nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.mu.quiets >= mostQuiets {
		talk()
		return nil
	}
	set := func(level int) {
		if err := sys.ConsoleLevel(level); err != nil {
			m.con.Log(err.Error())
		}
	}
	if m.mu.quiets++; m.mu.quiets == 1 {
		set(kernelQuiet)
	}
	return func() {
		talk()
		m.mu.Lock()
		defer m.mu.Unlock()
		if m.mu.quiets--; m.mu.quiets == 0 {
			set(m.mu.level)
		}
	}
}

// stepConsoles opens the kernel's own consoles and quiets the kernel on them: from now on init's lines are the boot log there.
func (m *Machine) stepConsoles(context.Context) (string, error) {
	raw, err := os.ReadFile("/sys/class/tty/console/active")
	if err != nil {
		return "", fmt.Errorf("list consoles: %w", err)
	}
	names := console.Active(string(raw))
	note := m.useConsoles(names)
	m.tasks <- run.Task{Name: "repeats", Run: m.con.Repeats}
	if err := m.kernelLevel(kernelBooting); err != nil {
		return "", err
	}
	if err := sys.CatchCtrlAltDel(); err != nil {
		return "", err
	}
	return note, nil
}

// useConsoles opens terminals, gives them to the program that talks on them, and says which are not there.
func (m *Machine) useConsoles(names []string) string {
	absent := m.con.Use("/dev", names)
	there := slices.DeleteFunc(slices.Clone(names), func(n string) bool { return slices.Contains(absent, n) })
	for _, n := range there {
		if err := os.Chown(filepath.Join("/dev", filepath.Base(n)), boot.ConsoleUser, 0); err != nil {
			m.con.Line("%v", err)
		}
	}
	m.mu.Lock()
	m.mu.ttys = there
	m.mu.Unlock()
	if len(absent) > 0 {
		return fmt.Sprintf("%s; not there: %s", strings.Join(names, " "), strings.Join(absent, " "))
	}
	return strings.Join(names, " ")
}
