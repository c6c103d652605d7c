package container

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"hardnode.dev/agent/container/record"
	"hardnode.dev/agent/spawner/call"
	"hardnode.dev/internal/logging"
	"hardnode.dev/internal/wire/host"
)

// signals is a spawner that counts the signals it is to send.
type signals struct {
	mu  sync.Mutex
	got []int
}

func (s *signals) count() int { s.mu.Lock(); defer s.mu.Unlock(); return len(s.got) }

func (s *signals) serve(t *testing.T, socket string) {
	t.Helper()
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: socket, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	t.Cleanup(func() { l.Close(); <-done })
	go func() {
		defer close(done)
		for {
			c, err := l.AcceptUnix()
			if err != nil {
				return
			}
			var r call.Request
			if _, err := call.Receive(c, &r); err == nil && r.Signal != nil {
				s.mu.Lock()
				s.got = append(s.got, r.Signal.Signal)
				s.mu.Unlock()
				call.Send(c, call.Reply{})
			}
			c.Close()
		}
	}()
}

// A program is asked to end once, however many stops and agents see to it, and has its time once. A stop that comes when that time is over
// asks anew; so does one of another process.
func TestAskedOnce(t *testing.T) {
	dir := t.TempDir()
	var sent signals
	sent.serve(t, filepath.Join(dir, "spawner.sock"))
	agent := func() *Runtime { // each call is another agent
		spawner := call.Client{Socket: filepath.Join(dir, "spawner.sock")}
		r := &Runtime{opts: Options{RunDir: dir, Cgroup: dir}, log: logging.Or(nil), spawn: spawner, known: &record.Door{Spawner: spawner}}
		if err := os.MkdirAll(r.cgroup(101), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(r.cgroup(101), "cgroup.events"), []byte("populated 1\nfrozen 0\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		return r
	}
	rec := record.Record{Record: call.Record{PID: 70, Started: time.Now()},
		Note: record.Note{Container: host.Container{Profile: host.ProfileApp, Process: host.Process{StopAfter: 60}}}}
	ask := func(r *Runtime, limit time.Duration, want int) {
		t.Helper()
		if err := r.askToEnd(t.Context(), 101, rec, limit); err != nil {
			t.Fatal(err)
		}
		if got := sent.count(); got != want {
			t.Fatalf("%d signals, want %d", got, want)
		}
	}
	first := agent()
	ctx, cancel := context.WithCancel(t.Context())
	given := make(chan error, 1)
	go func() { given <- first.askToEnd(ctx, 101, rec, time.Hour) }()
	for end := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
		if raw, err := os.ReadFile(first.askedAt(101)); err == nil && len(raw) > 0 {
			break
		}
		if time.Now().After(end) {
			t.Fatal("never asked")
		}
	}
	cancel() // the agent ends, or the machine is left
	if err := <-given; err != nil {
		t.Fatal(err)
	}
	ask(first, 10*time.Millisecond, 1)
	ask(agent(), 10*time.Millisecond, 1)

	rec.Container.Process.StopAfter = 1
	began := time.Now()
	for ; time.Since(began) < time.Second; time.Sleep(10 * time.Millisecond) {
	}
	ask(agent(), 10*time.Millisecond, 2) // the second before is over
	rec.PID = 71
	ask(agent(), 10*time.Millisecond, 3)
	if err := os.WriteFile(first.askedAt(101), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	ask(agent(), 10*time.Millisecond, 4) // a torn note
}
