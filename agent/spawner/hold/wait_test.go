package hold

import (
	"context"
	"net"
	"path/filepath"
	"testing"
	"time"
)

// pair is a connection as Serve has it and the caller's end of it.
func pair(t *testing.T) (ours, theirs *net.UnixConn) {
	t.Helper()
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(t.TempDir(), "s"), Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if theirs, err = net.DialUnix("unix", nil, l.Addr().(*net.UnixAddr)); err != nil {
		t.Fatal(err)
	}
	if ours, err = l.AcceptUnix(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ours.Close(); theirs.Close() })
	return ours, theirs
}

// A caller that went away is not waited with until the time is up: an agent that starts again and again would leave one each time.
func TestWaitEndsWithItsCaller(t *testing.T) {
	table := &Table{}
	table.mu.byID, table.mu.change = map[string]*entry{}, make(chan struct{})
	for name, leave := range map[string]func(*net.UnixConn){
		"closed":      func(c *net.UnixConn) { c.Close() },
		"talks on":    func(c *net.UnixConn) { c.Write([]byte("more than one request")) },
		"half closed": func(c *net.UnixConn) { c.CloseWrite() },
	} {
		t.Run(name, func(t *testing.T) {
			ours, theirs := pair(t)
			over := make(chan struct{})
			go func() { defer close(over); table.wait(context.Background(), ours, 0) }()
			leave(theirs)
			select {
			case <-over:
			case <-time.After(waitFor / 2):
				t.Errorf("still waiting after %s", waitFor/2)
			}
		})
	}
}

// One that stays is told at once, and the connection is good for the answer.
func TestWaitTellsAnEnd(t *testing.T) {
	table := &Table{}
	table.mu.byID, table.mu.change = map[string]*entry{}, make(chan struct{})
	ours, theirs := pair(t)
	got := make(chan []string, 1)
	go func() {
		ids, _ := table.wait(context.Background(), ours, 0)
		got <- ids
	}()
	table.mu.Lock()
	table.mu.seq = 1
	table.mu.ended = []end{{1, "101"}}
	close(table.mu.change)
	table.mu.change = make(chan struct{})
	table.mu.Unlock()
	select {
	case ids := <-got:
		if len(ids) != 1 || ids[0] != "101" {
			t.Errorf("got %q", ids)
		}
	case <-time.After(waitFor / 2):
		t.Fatal("an end was not told")
	}
	if _, err := ours.Write([]byte("x")); err != nil {
		t.Error(err)
	}
	if n, err := theirs.Read(make([]byte, 1)); n != 1 || err != nil {
		t.Error(n, err)
	}
}
