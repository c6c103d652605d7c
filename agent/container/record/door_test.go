package record

import (
	"net"
	"path/filepath"
	"sync/atomic"
	"testing"

	"hardnode.dev/agent/spawner/call"
	"hardnode.dev/internal/wire/host"
)

// All is asked with the state that is known, and is what was read before where the spawner says that it is the same. A spawner of before
// says no state, and is read in whole each time.
func TestAllIsReadOnce(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "spawner.sock")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: socket, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	note, err := Make(host.Container{CTID: 101}, 0)
	if err != nil {
		t.Fatal(err)
	}
	var state atomic.Value // of the spawner
	state.Store("a.1")
	asked := make(chan string, 1)
	go func() {
		for {
			c, err := l.AcceptUnix()
			if err != nil {
				return
			}
			var r call.Request
			if _, err := call.Receive(c, &r); err == nil {
				now := state.Load().(string)
				reply := call.Reply{State: now, Same: now != "" && now == r.List.State}
				if !reply.Same {
					reply.Containers = []call.Record{{ID: "101", Note: note, PID: 7}}
				}
				asked <- r.List.State
				call.Send(c, reply)
			}
			c.Close()
		}
	}()
	d := &Door{Spawner: call.Client{Socket: socket}}
	steps := []struct{ state, asked string }{
		{"a.1", ""}, {"a.1", "a.1"}, {"a.2", "a.1"}, {"b.1", "a.2"}, {"", "b.1"}, {"", ""}, {"b.2", ""},
	}
	for i, step := range steps {
		state.Store(step.state)
		all, err := d.All(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if got := <-asked; got != step.asked || len(all) != 1 || all[101].PID != 7 {
			t.Errorf("step %d: asked with %q, want %q; got %v", i, got, step.asked, all)
		}
	}
}
