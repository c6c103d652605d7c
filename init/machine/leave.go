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

	"hardnode.dev/init/leaving"
	"hardnode.dev/init/sys"
	"hardnode.dev/internal/run"
	"hardnode.dev/internal/wire/boot"
)

// Bounds of the way out: nothing may keep a machine from leaving, whatever disk or driver does not answer.
const (
	stopContainers = 10 * time.Second
	stopServices   = 20 * time.Second
	stopDisk       = 10 * time.Second // of each step that writes
	// stopAll is for all of it where containers run: their own time, which the agent keeps, and the rest; stopBare where none does.
	stopAll  = boot.StopContainers + 90*time.Second
	stopBare = time.Minute
	// stopKernel is how long the kernel may take to end the machine, which tells each device first. A SCSI disk that is silent, or a driver
	// that was still being loaded, would hold that up for ever.
	stopKernel = 30 * time.Second
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

// end leaves the machine in order, and says why first: within stopAll or stopBare, and then by ever harder means.
func (m *Machine) end(l Leave) {
	what := l.What()
	m.con.Line("%s: %s%s", what, l.Reason, by(l.By))
	limit := stopBare
	if leaving.Within(stopContainers, func() error { return anyRuns(cgroupCt) }) != nil { // or it can't be told
		limit = stopAll
	}
	leaving.Run(m.unwind(l, limit), limit, m.con.Line)
	leaving.Last(powers(l), func(format string, args ...any) { m.con.Alert(what + ": " + fmt.Sprintf(format, args...)) })
	select {}
}

// anyRuns is an error if there is a process below a cgroup.
func anyRuns(root string) error {
	if n := len(processes(root)); n > 0 {
		return fmt.Errorf("%d processes", n)
	}
	return nil
}

// powers are the ways to end the machine, the mildest first. What the kernel does at once, without telling a device (sysrq b), comes last:
// a machine that is off but for a disk that does not answer can't be reached, one that starts again can be told again.
func powers(l Leave) (table []leaving.Step) {
	add := func(name string, do func() error) {
		table = append(table, leaving.Step{Name: name, Within: stopKernel, Do: do})
	}
	if l.Kexec {
		add("the system that was loaded", func() error { return sys.Reboot(sys.Kexec) })
	}
	if l.PowerOff {
		add("power off", func() error { return sys.Reboot(sys.PowerOff) })
		add("power off by sysrq", func() error { return sys.SysRq('o') })
	} else {
		add("restart", func() error { return sys.Reboot(sys.Restart) })
	}
	add("reset by sysrq", func() error { return sys.SysRq('b') })
	return table
}

// by is who ordered it, as it stands behind the reason.
func by(who string) string {
	if who == "" {
		return ""
	}
	return " (ordered by " + who + ")"
}

// unwind is the boot's table backwards; limit is what all of it has.
func (m *Machine) unwind(l Leave, limit time.Duration) []leaving.Step {
	stop := func(name string, within time.Duration) leaving.Step {
		return leaving.Step{Name: "stop " + name, Within: within, Do: func() error { m.stop(name); return nil }}
	}
	agents := limit
	if limit == stopBare {
		agents = stopServices
	}
	return []leaving.Step{
		{Name: "feed the watchdog", Within: time.Second, Do: m.pat}, // it runs on: from here it has its full time again
		{Name: "say that the machine is being left", Within: time.Second, Do: func() error { return tellLeaving(l) }},
		{Name: "keep why the machine is left", Within: stopDisk, Do: func() error { return m.left(l, false) }},
		stop(setup.Name, stopServices),
		stop("agent", agents), // it stops the containers first, each in its own way
		{Name: "stop containers", Within: 2 * stopContainers, Do: m.stopContainers},
		stop("spawner", stopServices),
		stop("procview", stopServices),
		stop("netd", stopServices),
		stop("console", stopServices),
		{Name: "save the time", Within: stopDisk, Do: m.saveLastTime},
		{Name: "keep that the machine was left", Within: stopDisk, Do: func() error { return m.left(l, true) }},
		{Name: "sync", Within: stopDisk, Do: func() error { sys.Sync(); return nil }},
		{Name: "unmount", Within: stopDisk, Do: m.unmount},
	}
}

func (m *Machine) pat() error {
	if m.dog == nil {
		return nil
	}
	return m.dog.pat()
}

// tellLeaving tells the agent, which reads it when it is told to end.
func tellLeaving(l Leave) error {
	note, err := json.Marshal(boot.Shutdown{What: l.What(), Reason: l.Reason, By: l.By, Began: sys.Uptime().Milliseconds()})
	if err != nil {
		panic("BUG: a note does not encode: " + err.Error())
	}
	if err := os.WriteFile(boot.ShutdownFile, note, 0o600); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

func (m *Machine) saveLastTime() error {
	if m.data == nil {
		return nil
	}
	return saveTime()
}

func (m *Machine) stop(name string) {
	if h := m.services[name]; h != nil {
		h.Stop()
	}
}

// stopContainers asks what the agent has left in the containers' cgroups to end, then ends it.
func (m *Machine) stopContainers() error {
	pids := processes(cgroupCt)
	if len(pids) == 0 {
		return nil
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
		return fmt.Errorf("kill what is left of them: %w", err)
	}
	return nil
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

func (m *Machine) unmount() error {
	raw, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return fmt.Errorf("list mounts: %w", err)
	}
	var errs []error
	for _, point := range unmountOrder(string(raw)) {
		if err := sys.Unmount(point, false); err == nil {
			continue
		}
		if err := sys.Unmount(point, true); err != nil {
			errs = append(errs, err)
		} else {
			m.con.Line("unmount %q: still in use, detached", point)
		}
	}
	return errors.Join(errs...)
}
