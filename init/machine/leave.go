package machine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"hardnode.dev/init/sys"
	"hardnode.dev/internal/run"
	"hardnode.dev/internal/wire/boot"
)

// Bounds of the way out: none of them may keep a machine from leaving.
const (
	stopContainers = 10 * time.Second
	stopServices   = 20 * time.Second
	stopSync       = 10 * time.Second
	// stopAll is for all of it: the containers' own time, which the agent keeps, and the rest.
	stopAll = boot.StopContainers + 90*time.Second
)

// atHost is who orders what is done at the host itself. An order has somebody who gave it: a system on trial that is left by order says
// nothing against it, one that the machine leaves by itself does.
const atHost = "somebody at the host"

// wishes are what the kernel and people send PID 1.
var wishes = map[os.Signal]Leave{
	unix.SIGINT:  {Reason: "ctrl-alt-del", By: atHost},
	unix.SIGTERM: {Reason: "SIGTERM to PID 1", By: atHost},
	unix.SIGUSR2: {PowerOff: true, Reason: "SIGUSR2 to PID 1", By: atHost},
	unix.SIGPWR:  {PowerOff: true, Reason: "power failure signal", By: "its power supply"},
}

// powerButton is what the button asks for.
var powerButton = Leave{PowerOff: true, Reason: "power button", By: atHost}

// signals turns signals into wishes.
func (m *Machine) signals(ctx context.Context) error {
	ch := make(chan os.Signal, 4)
	signal.Notify(ch, unix.SIGINT, unix.SIGTERM, unix.SIGUSR2, unix.SIGPWR, unix.SIGHUP)
	defer signal.Stop(ch)
	for {
		select {
		case s := <-ch:
			if w, ok := wishes[s]; ok {
				m.Ask(w)
			}
		case <-ctx.Done():
			return nil
		}
	}
}

// end leaves the machine in order, within stopAll, and says why first.
func (m *Machine) end(l Leave) {
	what := l.What()
	m.con.Line("%s: %s%s", what, l.Reason, by(l.By))
	done := make(chan struct{})
	go func() {
		defer close(done)
		m.unwind(l)
	}()
	limit := time.NewTimer(stopAll)
	select {
	case <-done:
	case <-limit.C:
		m.con.Line("%s: not done after %s; leaving as it is", what, stopAll)
	}
	power := sys.Restart
	switch {
	case l.PowerOff:
		power = sys.PowerOff
	case l.Kexec:
		m.con.Alert(fmt.Sprintf("%s: %v; booting by the firmware", what, sys.Reboot(sys.Kexec))) // it returns when the kernel refuses
	}
	err := sys.Reboot(power)
	m.con.Alert(fmt.Sprintf("%s: %v", what, err)) // the kernel refused: the last resort
	os.WriteFile("/proc/sys/kernel/sysrq", []byte("1"), 0)
	os.WriteFile("/proc/sysrq-trigger", []byte("b"), 0)
	select {}
}

// by is who ordered it, as it stands behind the reason.
func by(who string) string {
	if who == "" {
		return ""
	}
	return " (ordered by " + who + ")"
}

// unwind is the boot's table backwards.
func (m *Machine) unwind(l Leave) {
	if m.dog != nil { // the watchdog runs on: from here it has its full time again
		if err := m.dog.pat(); err != nil {
			m.con.Line("%v", err)
		}
	}
	note, err := json.Marshal(boot.Shutdown{What: l.What(), Reason: l.Reason, By: l.By, Began: sys.Uptime().Milliseconds()})
	if err != nil {
		panic("BUG: a note does not encode: " + err.Error())
	}
	if err := os.WriteFile(boot.ShutdownFile, note, 0o600); err != nil && !errors.Is(err, fs.ErrNotExist) {
		m.con.Line("say that the machine is being left: %v", err)
	}
	m.left(l, false)
	m.stop(setup.Name)
	m.stop("agent") // it stops the containers first, each in its own way
	m.stopContainers()
	m.stop("spawner")
	m.stop("procview")
	m.stop("netd")
	m.stop("console")
	if m.data != nil {
		if err := saveTime(); err != nil {
			m.con.Line("%v", err)
		}
	}
	m.left(l, true)
	synced := make(chan struct{})
	go func() { defer close(synced); sys.Sync() }()
	select {
	case <-synced:
	case <-time.After(stopSync):
		m.con.Line("sync: not done after %s", stopSync)
	}
	m.unmount()
}

func (m *Machine) stop(name string) {
	if h := m.services[name]; h != nil {
		h.Stop()
	}
}

// stopContainers asks what the agent has left in the containers' cgroups to end, then ends it.
func (m *Machine) stopContainers() {
	pids := processes(cgroupCt)
	if len(pids) == 0 {
		return
	}
	m.con.Line("stopping %d processes of containers that the agent has left", len(pids))
	for _, pid := range pids {
		unix.Kill(pid, unix.SIGTERM)
	}
	ctx, cancel := context.WithTimeout(context.Background(), stopContainers)
	defer cancel()
	for len(processes(cgroupCt)) > 0 && run.Wait(ctx, 100*time.Millisecond) {
	}
	if err := os.WriteFile(cgroupCt+"/cgroup.kill", []byte("1"), 0); err != nil {
		m.con.Line("kill what is left of the containers: %v", err)
	}
}

// processes lists every process below a cgroup.
func processes(root string) []int {
	var pids []int
	filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.Name() != "cgroup.procs" {
			return nil // a cgroup may vanish while we walk
		}
		raw, err := os.ReadFile(path)
		if err != nil {
			return nil
		}
		for f := range strings.FieldsSeq(string(raw)) {
			if n, err := strconv.Atoi(f); err == nil {
				pids = append(pids, n)
			}
		}
		return nil
	})
	return pids
}

// keepMounted are never unmounted: the root can't be, and the rest holds nothing.
var keepMounted = []string{"/", "/proc", "/sys", "/dev", "/run"}

// unmountOrder reads /proc/self/mountinfo (proc_pid_mountinfo(5)): mount points that may hold something dirty, the last mounted first.
func unmountOrder(mountinfo string) []string {
	var points []string
	for line := range strings.Lines(mountinfo) {
		f := strings.Fields(line)
		if len(f) < 5 {
			continue
		}
		point := strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(f[4])
		if slices.Contains(keepMounted, point) || strings.HasPrefix(point, "/sys/") || strings.HasPrefix(point, "/dev/") ||
			strings.HasPrefix(point, "/usr/") {
			continue
		}
		points = append(points, point)
	}
	slices.Reverse(points)
	return points
}

func (m *Machine) unmount() {
	raw, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		m.con.Line("list mounts: %v", err)
		return
	}
	for _, point := range unmountOrder(string(raw)) {
		if err := sys.Unmount(point, false); err == nil {
			continue
		}
		if err := sys.Unmount(point, true); err != nil {
			m.con.Line("%v", err)
		} else {
			m.con.Line("unmount %q: still in use, detached", point)
		}
	}
}
