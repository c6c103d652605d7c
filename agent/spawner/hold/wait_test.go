package hold

import (
	"context"
	"net"
	"testing"
	"time"

	"hardnode.dev/internal/testkit/sockets"
)

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
			ours, theirs := sockets.Pair(t)
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
	ours, theirs := sockets.Pair(t)
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
