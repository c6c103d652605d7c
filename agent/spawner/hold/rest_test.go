package hold

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"hardnode.dev/agent/spawner/call"
	"hardnode.dev/internal/testkit/sockets"
)

// TestRest: whoever has a container stand still has it go on by closing its half of the connection, by its end, and after a while anyhow.
func TestRest(t *testing.T) {
	for _, c := range []struct {
		name, events string
		end          func(t *testing.T, peer *net.UnixConn, stop func())
		first, last  string // replies' errors
	}{
		{"closed", "populated 1\nfrozen 1\n", func(t *testing.T, peer *net.UnixConn, _ func()) { peer.CloseWrite() }, "", ""},
		{"killed", "populated 1\nfrozen 1\n", func(t *testing.T, peer *net.UnixConn, _ func()) { peer.Close() }, "", "gone"},
		{"too long", "populated 1\nfrozen 1\n", func(*testing.T, *net.UnixConn, func()) {}, "", "the longest they may"},
		{"spawner ends", "populated 1\nfrozen 1\n", func(_ *testing.T, _ *net.UnixConn, stop func()) { stop() }, "", "was to end"},
		{"busy", "populated 1\nfrozen 0\n", nil, "does one wait for a disk", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			at := t.TempDir()
			put := func(name, text string) {
				if err := os.WriteFile(filepath.Join(at, name), []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			put("cgroup.freeze", "0")
			put("cgroup.events", c.events)
			frozen := func() string {
				b, err := os.ReadFile(filepath.Join(at, "cgroup.freeze"))
				if err != nil {
					t.Fatal(err)
				}
				return string(b)
			}
			dir, err := os.Open(at)
			if err != nil {
				t.Fatal(err)
			}
			defer dir.Close()
			own, peer := sockets.Pair(t)
			ctx, stop := context.WithCancel(context.Background())
			defer stop()
			over := make(chan struct{})
			go func() {
				defer close(over)
				new(Table).rest(ctx, own, "7", dir)
				own.Close()
			}()
			hear := func(want string) {
				t.Helper()
				peer.SetReadDeadline(time.Now().Add(time.Minute))
				var r call.Reply
				if _, err := call.Receive(peer, &r); err != nil {
					t.Fatal(err)
				}
				if want == "" && r.Err != "" || !strings.Contains(r.Err, want) {
					t.Errorf("got %q, want %q", r.Err, want)
				}
			}
			hear(c.first)
			if c.end != nil {
				if f := frozen(); f != "1" {
					t.Errorf("cgroup.freeze is %q", f)
				}
				c.end(t, peer, stop)
				if c.last != "gone" {
					hear(c.last)
				}
			}
			<-over
			if f := frozen(); f != "0" {
				t.Errorf("afterwards cgroup.freeze is %q", f)
			}
		})
	}
}

// TestRestWithoutCgroup: a container that ended meanwhile is nothing to be thawed.
func TestRestWithoutCgroup(t *testing.T) {
	dir, err := os.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	if err := thaw(dir); err != nil {
		t.Error(err)
	}
	if err := freeze(context.Background(), dir); err == nil {
		t.Error("what has no cgroup stands still")
	}
}
