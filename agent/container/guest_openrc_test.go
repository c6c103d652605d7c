//go:build guest

package container

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"hardnode.dev/internal/run"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/jem"
)

// TestOpenRC: a full OS whose services OpenRC looks after, below SysV's init and below OpenRC's own: it boots to its default runlevel,
// reboots and powers off by its own will, ends its services in order when it is asked to stop, has a login on its console, and JEM changes
// its services.
func TestOpenRC(t *testing.T) {
	if _, err := os.Stat("/images/openrc.erofs"); err != nil {
		t.Skip("the guest has no image with OpenRC: qemu-tests/system TestOpenRC makes it")
	}
	spawnerUp(t)
	for i, c := range []struct {
		name, init       string
		argv             []string
		console          func(*openrc) // has a login on the console from now on, as the init's own documents say
		reboot, poweroff string
	}{
		{"sysvinit", "init", nil, (*openrc).gettyOfInit, "reboot", "poweroff"},
		{"openrc-init", "openrc-init", []string{"/sbin/openrc-init"}, (*openrc).gettyOfOpenRC, "openrc-shutdown --reboot now",
			"openrc-shutdown --poweroff now"},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := &openrc{T: t, r: newRuntime(t), id: wire.CTID(840 + i)}
			hints, stop := context.WithCancel(context.Background())
			defer stop()
			go o.r.Run(hints)
			s := box(t, o.id, "")
			s.ImagePath, s.Image.Digest = image(t, "openrc")
			s.Profile, s.Process = host.ProfileSystem, host.Process{Argv: c.argv, StopAfter: 300}
			s.Limits = host.Limits{MemoryMax: 512 << 20, PIDs: 512, DiskBytes: 256 << 20}
			o.boot(s, c.init)
			o.services()
			c.console(o)
			systemConsole(t, o.r, o.id)
			waitLine(t, o.r, o.id, "Starting periodic command scheduler|Starting cron")
			o.leaves(c.reboot, LeftReboot)
			o.boot(s, c.init)
			o.says("rc-service probe status >/dev/null && rc-service base status >/dev/null && pidof cron >/dev/null && echo all", "all")
			o.leaves(c.poweroff, LeftPowerOff)
			o.boot(s, c.init)
			began := time.Now()
			if err := o.r.Stop(o.patience(), o.id); err != nil {
				t.Fatal(err)
			}
			took := time.Since(began)
			t.Logf("an orderly stop took %s", took.Round(100*time.Millisecond))
			if took > 280*time.Second {
				t.Errorf("a stop took %s of the 300 s that it has: it was killed", took)
			}
			if got := waitState(t, o.r, o.id, StateStopped); got.PID != 0 {
				t.Errorf("observed %+v", got)
			}
			o.ends("probe", "base")
		})
	}
}

// openrc is the container.
type openrc struct {
	*testing.T
	r       *Runtime
	id      wire.CTID
	endings []string // what its services are to have said by now
	pid     int
}

func (o *openrc) patience() context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	o.Cleanup(cancel)
	return ctx
}

// until waits up to ten minutes: each step of a script is several processes, and the processor may be emulated.
func (o *openrc) until(what string, is func() bool) time.Duration {
	o.Helper()
	began := time.Now()
	for !is() {
		if time.Since(began) > 10*time.Minute {
			var log []string
			o.r.Logs(o.patience(), o.id, host.LogsSpec{Tail: 60}, func(_ bool, l []byte) error { log = append(log, string(l)); return nil })
			o.Fatalf("not in %s: %s\n%s", time.Since(began), what, strings.Join(log, "\n"))
		}
		run.Wait(context.Background(), 250*time.Millisecond)
	}
	return time.Since(began)
}

// says runs a script inside that must write this.
func (o *openrc) says(script, want string) {
	o.Helper()
	if got, code := sh(o.T, o.r, o.id, script); got != want {
		o.Errorf("%s: %q with code %d, want %q", script, got, code, want)
	}
}

// reached tells whether OpenRC is done with its default runlevel: it is on it, no more starting, and all that belongs to it is started or
// has failed. It looks from outside: a command inside for each look would take the processor that the boot needs.
func (o *openrc) reached() bool {
	root := fmt.Sprintf("/proc/%d/root", o.pid)
	there := func(path string) bool {
		_, err := os.Lstat(filepath.Join(root, path))
		return err == nil
	}
	level, _ := os.ReadFile(filepath.Join(root, "run/openrc/softlevel"))
	all, err := os.ReadDir(filepath.Join(root, "etc/runlevels/default"))
	return err == nil && strings.TrimSpace(string(level)) == "default" && !there("run/openrc/rc.starting") &&
		!slices.ContainsFunc(all, func(e os.DirEntry) bool {
			return !there("run/openrc/started/"+e.Name()) && !there("run/openrc/failed/"+e.Name())
		})
}

// boot starts it, until its default runlevel is reached and all that belongs to it runs.
func (o *openrc) boot(s StartSpec, init string) {
	o.Helper()
	first, err := o.r.Start(o.patience(), s)
	if err != nil {
		o.Fatal(err)
	}
	if o.pid == 0 {
		o.Cleanup(func() {
			if err := o.r.Remove(o.patience(), o.id, false); err != nil {
				o.Error(err)
			}
		})
	}
	o.pid = first.PID
	if first.Booting {
		o.Error("it is waited for, and can't say that it is ready")
	}
	took := o.until("the default runlevel is reached", o.reached)
	o.Logf("default runlevel after %s", took.Round(100*time.Millisecond))
	o.says("cat /proc/1/comm", init)
	o.says("rc-status --crashed; ls /run/openrc/failed", "")
	all, code := sh(o.T, o.r, o.id, "rc-status --all")
	o.Logf("rc-status:\n%s", all)
	if code != 0 || strings.Contains(all, "crashed") || !strings.Contains(all, "default") {
		o.Errorf("rc-status ended with code %d", code)
	}
}

// leaves: it ends itself in this way, its services first.
func (o *openrc) leaves(command string, want Left) {
	o.Helper()
	tell(o.T, o.r, o.id, command)
	var last Observed
	took := o.until(command+" ends it", func() bool {
		all, err := o.r.Observe(o.patience())
		if err != nil {
			o.Fatal(err)
		}
		for _, last = range all {
			if last.CTID == o.id && last.State == StateExited {
				return true
			}
		}
		return false
	})
	o.Logf("%s: ended after %s, left by %q", command, took.Round(100*time.Millisecond), last.Left)
	if last.Left != want {
		o.Errorf("%s: left by %q with code %d, want %q", command, last.Left, last.ExitCode, want)
	}
	o.ends("probe", "base")
}

// ends: these services have said so at their stop, in this order, since they did before.
func (o *openrc) ends(names ...string) {
	o.Helper()
	for _, n := range names {
		o.endings = append(o.endings, n+" ended")
	}
	var got []string
	soon(o, fmt.Sprintf("the log says that %s ended", strings.Join(names, ", then ")), func() bool {
		got = got[:0]
		o.r.Logs(o.patience(), o.id, host.LogsSpec{}, func(_ bool, l []byte) error {
			if line := strings.TrimSpace(string(l)); line == "probe ended" || line == "base ended" {
				got = append(got, line)
			}
			return nil
		})
		return len(got) >= len(o.endings)
	})
	if !slices.Equal(got, o.endings) {
		o.Errorf("services ended as %q, want %q", got, o.endings)
	}
}

// gettyOfInit takes away those of terminals that a container lacks, and has one on the console, which is a log: both stand in the inittab
// of Debian.
func (o *openrc) gettyOfInit() {
	o.Helper()
	o.says(`sed -i -E -e '/^[1-6]:/s/^/#/' -e 's/^#(C0:.*)/\1 dumb/' /etc/inittab && telinit q && grep -c '^C0:.* dumb$' /etc/inittab`, "1")
}

// gettyOfOpenRC is its own one, by a link that names the terminal.
func (o *openrc) gettyOfOpenRC() {
	o.Helper()
	o.says("ln -s agetty /etc/init.d/agetty.console; mkdir -p /etc/conf.d; echo term_type=dumb > /etc/conf.d/agetty.console", "")
	o.jem("ok", "service enable agetty.console", "enable of agetty.console: done")
	o.jem("ok", "service start agetty.console", "start of agetty.console: done")
	o.is("agetty.console", "active")
}

// jem calls JEM, and checks its answer's code and what is in its message.
func (o *openrc) jem(want, words, message string) jem.Reply {
	o.Helper()
	f := strings.Fields(words)
	reply, _ := callJEM(o.T, o.r, o.id, o.r.Told(o.patience(), o.id), host.JEMRequest{Module: f[0], Action: f[1], Args: f[2:]})
	o.Logf("jem %s: %s, %s %q", words, reply.Code, reply.Message, reply.Said)
	if reply.Code != want || !strings.Contains(reply.Message, message) {
		o.Errorf("jem %s: %s %q %q, want %s with %q", words, reply.Code, reply.Message, reply.Said, want, message)
	}
	return reply
}

// is checks the state in which JEM sees a service.
func (o *openrc) is(name string, want jem.State) {
	o.Helper()
	for _, words := range []string{"service status", "service status " + name} {
		list := o.jem("ok", words, "").Services
		got := jem.State("inactive") // those that do not start with the container are not listed
		if at := slices.IndexFunc(list, func(s jem.Service) bool { return s.Name == name }); at >= 0 {
			got = list[at].State
		}
		if got != want {
			o.Errorf("jem %s: %s is %s, want %s: %v", words, name, got, want, list)
		}
	}
}

// services has JEM change those that are there, and two of its own, one of which needs the other.
func (o *openrc) services() {
	o.Helper()
	o.is("cron", "active")
	o.jem("ok", "service stop cron", "stop of cron: done")
	o.is("cron", "inactive")
	o.says("pidof cron || echo none", "none")
	o.jem("ok", "service start cron", "start of cron: done")
	o.is("cron", "active")
	before, _ := sh(o.T, o.r, o.id, "pidof cron")
	o.jem("ok", "service restart cron", "restart of cron: done")
	if after, _ := sh(o.T, o.r, o.id, "pidof cron"); before == "" || after == "" || after == before {
		o.Errorf("after a restart cron is process %q, before it was %q", after, before)
	}
	o.says("cmp /proc/1/cgroup /proc/$(pidof cron)/cgroup && echo same", "same") // it is one of the system's, not of a command's
	o.jem("not_found", "service start nosuch", "there is no service /etc/init.d/nosuch")
	o.jem("unavailable", "service logs", "journal")
	const head = "#!/sbin/openrc-run\n"
	for name, script := range map[string]string{
		"base": head + "start() { return 0; }\nstop() { echo base ended > /dev/console; }\n",
		"probe": head + "command=/bin/sleep\ncommand_args=inf\ncommand_background=yes\npidfile=/run/probe.pid\ndepend() { need base; }\n" +
			"stop_post() { echo probe ended > /dev/console; }\n",
		"broken": head + "start() { echo it can not be; return 1; }\n",
	} {
		if out, code := sh(o.T, o.r, o.id, fmt.Sprintf("printf %%s '%s' > /etc/init.d/%s && chmod 755 /etc/init.d/%s", script, name,
			name)); code != 0 {
			o.Fatalf("make service %s: %s", name, out)
		}
	}
	o.jem("ok", "service enable probe", "enable of probe: done")
	o.is("probe", "inactive")
	o.jem("ok", "service start probe", "start of probe: done")
	o.is("probe", "active")
	o.is("base", "active")
	o.jem("ok", "service restart probe", "restart of probe: done")
	o.is("probe", "active")
	o.ends("probe")
	o.jem("ok", "service stop base", "stop of base: done")
	o.ends("probe", "base")
	o.is("probe", "inactive")
	o.is("base", "inactive")
	o.jem("ok", "service start probe", "start of probe: done")
	o.is("base", "active")
	o.jem("unavailable", "service start broken", "")
	o.is("broken", "inactive")
	o.says("rc-service broken zap >/dev/null; rm /etc/init.d/broken; rc-update -u >/dev/null", "")
}
