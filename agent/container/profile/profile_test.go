package profile

import (
	"reflect"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"hardnode.dev/agent/container/account"
	"hardnode.dev/internal/wire/host"
)

// TestHalts: an init that is known is asked in its own way, unless its template has another one.
func TestHalts(t *testing.T) {
	for _, c := range []struct {
		with    string
		profile host.Profile
		program string
		want    string
	}{
		{"", host.ProfileSystem, "/bin/busybox", "SIGUSR2"},
		{"SIGTERM", host.ProfileSystem, "/bin/busybox", "SIGTERM"},
		{"", host.ProfileSystem, "/usr/lib/systemd/systemd", ""},
		{"", host.ProfileSystem, "/usr/sbin/init", "SIGINT"},
		{"", host.ProfileSystem, "/usr/sbin/openrc-init", "SIGTERM"},
		{"SIGPWR", host.ProfileSystem, "/usr/sbin/init", "SIGPWR"},
		{"", host.ProfileSystem, "", ""},
		{"", host.ProfileApp, "/bin/busybox", ""},
	} {
		if got := Halts(host.Process{StopWith: c.with}, c.profile, c.program).StopWith; got != c.want {
			t.Errorf("%+v: got %q", c, got)
		}
	}
}

func TestStopSignal(t *testing.T) {
	for _, c := range []struct {
		name    string
		profile host.Profile
		want    unix.Signal
	}{{"", host.ProfileApp, unix.SIGTERM}, {"", host.ProfileSystem, 37}, {"SIGQUIT", host.ProfileApp, unix.SIGQUIT},
		{"SIGRTMIN+4", host.ProfileApp, 38}} {
		if got, err := StopSignal(host.Process{StopWith: c.name}, c.profile); got != c.want || err != nil {
			t.Errorf("%q: got %d %v, want %d", c.name, got, err, c.want)
		}
	}
	for _, bad := range []string{"QUIT", "SIGRTMIN+99", "9"} {
		if got, err := StopSignal(host.Process{StopWith: bad}, host.ProfileApp); err == nil {
			t.Errorf("%q: got %d", bad, got)
		}
	}
}

func TestProcessAndCommand(t *testing.T) {
	pr, err := Of(host.ProfileApp)
	if err != nil {
		t.Fatal(err)
	}
	p := host.Process{Argv: []string{"nginx"}, Env: map[string]string{"PATH": "/opt/bin::relative:/bin", "A": "1"}, UID: 33, GID: 34}
	got := pr.Process(p, "web")
	if want := []string{"A=1", "HOSTNAME=web", "PATH=/opt/bin::relative:/bin"}; !slices.Equal(got.Env, want) {
		t.Errorf("environment %q, want %q", got.Env, want)
	}
	if !slices.Equal(got.Path, []string{"/opt/bin", "/bin"}) || got.Cwd != "/" || got.UID != 33 || !got.NoNewPrivs ||
		got.Caps != 0xa00405fb {
		t.Errorf("got %+v", got)
	}
	e := pr.Command(p, "web", host.ExecSpec{Argv: []string{"sh"}, TTY: true, Env: map[string]string{"A": "2"}},
		account.Account{Home: "/root"})
	if want := []string{"A=2", "HOME=/root", "HOSTNAME=web", "PATH=/opt/bin::relative:/bin",
		"TERM=xterm-256color"}; !slices.Equal(e.Env, want) {
		t.Errorf("environment %q, want %q", e.Env, want)
	}
	if e.UID != 0 || !e.NoNewPrivs || e.Caps != got.Caps || !reflect.DeepEqual(e.Seccomp, got.Seccomp) {
		t.Error("a command is confined otherwise than the program")
	}
	system, err := Of(host.ProfileSystem)
	if err != nil {
		t.Fatal(err)
	}
	if s := system.Process(host.Process{}, "os"); !slices.Equal(s.Argv, []string{"/sbin/init"}) || s.Caps&(1<<unix.CAP_SYS_MODULE) != 0 ||
		s.Caps&(1<<unix.CAP_SYS_ADMIN) == 0 {
		t.Errorf("system: %+v", s)
	}
}
