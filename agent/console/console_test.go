package main

import (
	"slices"
	"strings"
	"testing"
	"time"

	"hardnode.dev/internal/wire/boot"
	"hardnode.dev/internal/wire/host"
)

func TestLines(t *testing.T) {
	running := boot.AgentStatus{Name: "host-1", Code: "K7QX-3MPA", Stage: boot.StageJoined, State: "ACTIVE", Version: "0.1.0",
		Addresses: []string{"10.77.0.11"},
		Link:      "connected", Linked: true,
		Containers: []host.ContainerStatus{{State: host.CtRunning}, {State: host.CtFailing}, {State: host.CtRunning}}}
	tests := []struct {
		name string
		a    *boot.AgentStatus
		i    *boot.Status
		want string
	}{
		{"nobody answers", nil, nil, ""},
		{"running", &running, &boot.Status{Services: []boot.ServiceStatus{{Name: "agent", State: "ready"}}},
			"[host-1] ACTIVE | 10.77.0.11 | hardnode 0.1.0 | orchestrator: connected | containers: 2 running, 1 failing"},
		{"joining, refused", &boot.AgentStatus{Name: "host-2", Code: "K7QX-3MPA", Stage: boot.StageJoining, Version: "0.1.0",
			Link:     "joining",
			Problems: []host.Problem{{Object: "join.token", Reason: "the token was used", Next: "make a new one"}}}, nil,
			"[host-2] JOINING | code K7QX-3MPA | no address | hardnode 0.1.0 | containers: none | problems: 1\n" +
				"  ! join.token: the token was used -> make a new one"},
		{"no configuration", &boot.AgentStatus{Code: "K7QX-3MPA", Stage: boot.StageUnconfigured, Version: "0.1.0",
			Link: "no configuration yet"}, &boot.Status{Problem: "no configuration was found"},
			"[unnamed] waiting for a configuration | code K7QX-3MPA | no address | hardnode 0.1.0 | containers: none | problems: 1\n" +
				"  ! no configuration was found"},
		{"agent on its way", nil,
			&boot.Status{Services: []boot.ServiceStatus{{Name: "agent", State: "starting"}, {Name: "spawner", State: "starting"}}},
			"the agent is starting"},
		{"agent starts once more", nil,
			&boot.Status{Services: []boot.ServiceStatus{{Name: "agent", State: "starting", Restarts: 1, LastExit: "killed by SIGKILL"}}},
			"  ! service agent: starting, restarted 1 times; killed by SIGKILL"},
		{"agent down", nil,
			&boot.Status{Services: []boot.ServiceStatus{{Name: "agent", State: "backoff", Restarts: 3, LastExit: "exit status 1"},
				{Name: "netd", State: "ready"}}}, "  ! service agent: backoff, restarted 3 times; exit status 1"},
		{"a reason that would steer the terminal",
			&boot.AgentStatus{Name: "h", Stage: boot.StageJoined, State: "ACTIVE", Link: "connected", Linked: true,
				Problems: []host.Problem{{Object: "x", Reason: "a\x1b[2Jb\nc\u009b"}}}, nil,
			"[h] ACTIVE | no address | hardnode  | orchestrator: connected | containers: none | problems: 1\n  ! x: a[2Jb c"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := strings.Join(lines(tt.a, tt.i), "\n"); got != tt.want {
				t.Errorf("got\n%s\nwant\n%s", got, tt.want)
			}
		})
	}
	if n := len([]rune(clip(strings.Repeat("é", 1000)))); n != maxLine {
		t.Errorf("a long line has %d characters, want %d", n, maxLine)
	}
}

// TestAway: while the agent does not answer, what init knows of it is said.
func TestAway(t *testing.T) {
	services := func(all ...boot.ServiceStatus) *boot.Status { return &boot.Status{Services: all} }
	for _, c := range []struct {
		i    *boot.Status
		want string
	}{
		{nil, "init does not answer either; ask again"},
		{services(boot.ServiceStatus{Name: "netd", State: "starting"}), "the boot has not come to it yet; ask again"},
		{&boot.Status{Problem: "no configuration found"}, "no configuration found; ask again"},
		{services(boot.ServiceStatus{Name: "setup", State: "starting"}), "it is starting; ask again"},
		{services(boot.ServiceStatus{Name: "setup", State: "stopped"}), "the boot has not come to it yet; ask again"},
		{services(boot.ServiceStatus{Name: "setup", State: "stopped"}, boot.ServiceStatus{Name: "agent", State: "starting"}),
			"it is starting; ask again"},
		{services(boot.ServiceStatus{Name: "agent", State: "ready"}), "it was ended a moment ago, or has too much to do; ask again"},
		{services(boot.ServiceStatus{Name: "agent", State: "backoff", Restarts: 3, LastExit: "exit status 1"}),
			"service agent: backoff, restarted 3 times; exit status 1; ask again"},
	} {
		if got := away(c.i); got != c.want {
			t.Errorf("%+v: got %q, want %q", c.i, got, c.want)
		}
	}
}

// TestNews: a problem that stands is not said again with each change of something else.
func TestNews(t *testing.T) {
	for _, c := range []struct{ name, last, now, want string }{
		{"the first time", "", "[h] A;  ! x: 1;  ! y: 2", "[h] A;  ! x: 1;  ! y: 2"},
		{"nothing new", "[h] A;  ! x: 1", "[h] A;  ! x: 1", ""},
		{"another state", "[h] A;  ! x: 1;  ! y: 2", "[h] B;  ! x: 1;  ! y: 2", "[h] B"},
		{"one more problem", "[h] A;  ! x: 1", "[h] B;  ! x: 1;  ! y: 2", "[h] B;  ! y: 2"},
		{"a problem with other words", "[h] A;  ! x: 1", "[h] A;  ! x: 3", "[h] A;  ! x: 3"},
		{"one less", "[h] A;  ! x: 1;  ! y: 2", "[h] B;  ! y: 2", "[h] B"},
		{"no status but a problem", "[h] A;  ! x: 1", "  ! x: 1", "  ! x: 1"},
		{"no status any more", "[h] A", "", ""},
	} {
		split := func(s string) []string {
			return slices.DeleteFunc(strings.Split(s, ";"), func(l string) bool { return l == "" })
		}
		if got := strings.Join(news(split(c.last), split(c.now)), ";"); got != c.want {
			t.Errorf("%s: got %q, want %q", c.name, got, c.want)
		}
	}
}

// TestStates: what stands beside the host's state never says the opposite of it.
func TestStates(t *testing.T) {
	for _, c := range []struct {
		a    boot.AgentStatus
		want string
	}{
		{boot.AgentStatus{Stage: boot.StageUnconfigured, Link: "no configuration yet"},
			"[h] waiting for a configuration | no address | hardnode 1 | containers: none"},
		{boot.AgentStatus{Stage: boot.StageJoining, Link: "joining"}, "[h] JOINING | no address | hardnode 1 | containers: none"},
		{boot.AgentStatus{Stage: boot.StageJoining, Link: "not joining"}, "[h] NOT JOINING | no address | hardnode 1 | containers: none"},
		{boot.AgentStatus{Stage: boot.StageJoined},
			"[h] JOINED | no address | hardnode 1 | orchestrator: not asked yet | containers: none"},
		{boot.AgentStatus{Stage: boot.StageJoined, Link: "connecting"},
			"[h] JOINED | no address | hardnode 1 | orchestrator: connecting | containers: none"},
		{boot.AgentStatus{Stage: boot.StageJoined, Link: "away"},
			"[h] JOINED | no address | hardnode 1 | orchestrator: away | containers: none"},
		{boot.AgentStatus{Stage: boot.StageJoined, Link: "connected", Linked: true, State: "ACTIVE"},
			"[h] ACTIVE | no address | hardnode 1 | orchestrator: connected | containers: none"},
		{boot.AgentStatus{Stage: boot.StageJoined, Link: "away", State: "ACTIVE"},
			"[h] ACTIVE when last heard | no address | hardnode 1 | orchestrator: away | containers: none"},
		{boot.AgentStatus{Stage: boot.StageJoined, Link: "not connecting"},
			"[h] JOINED | no address | hardnode 1 | orchestrator: not connecting | containers: none"},
	} {
		c.a.Name, c.a.Version = "h", "1"
		if got := summary(&c.a); got != c.want {
			t.Errorf("got  %s\nwant %s", got, c.want)
		}
	}
}

// TestConfigured: a host that has a configuration is not waiting for one, whatever its agent knows yet.
func TestConfigured(t *testing.T) {
	a := boot.AgentStatus{Stage: boot.StageUnconfigured, Link: "no configuration yet", Version: "1"}
	configured(&a, "host-1")
	if got, want := summary(&a), "[host-1] STARTING | no address | hardnode 1 | containers: none"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestPause(t *testing.T) {
	for _, c := range []struct {
		a    *boot.AgentStatus
		want time.Duration
	}{
		{nil, 500 * time.Millisecond},
		{&boot.AgentStatus{Stage: boot.StageJoined}, 500 * time.Millisecond},
		{&boot.AgentStatus{Stage: boot.StageJoined, Linked: true}, 2 * time.Second},
	} {
		if got := pause(c.a); got != c.want {
			t.Errorf("%+v: got %s, want %s", c.a, got, c.want)
		}
	}
}
