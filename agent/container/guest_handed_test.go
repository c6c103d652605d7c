//go:build guest

package container

import (
	"net"
	"strings"
	"testing"
	"time"

	"hardnode.dev/internal/run"
	"hardnode.dev/internal/wire/host"
)

// TestHandedSockets: a program has its sockets of the host from descriptor 3 on, and what says so; they end with it, so that their ports
// can be opened again.
func TestHandedSockets(t *testing.T) {
	spawnerUp(t)
	r := newRuntime(t)
	for _, reaper := range []bool{false, true} {
		s := box(t, 451, `echo $LISTEN_FDS $LISTEN_FDNAMES $LISTEN_PID $$ $(readlink /proc/self/fd/3 | cut -c1-6) `+
			`$(readlink /proc/self/fd/4 | cut -c1-6) $(ls /proc/self/fd | wc -l); exec sleep 1000`)
		s.Process.Reaper, s.Sockets = reaper, host.NetbootSockets("lo")[:2]
		for _, at := range []string{"127.0.0.1:6767", "127.0.0.1:6969"} {
			c, err := net.ListenPacket("udp4", at)
			if err != nil {
				t.Fatal(err)
			}
			f, err := c.(*net.UDPConn).File()
			c.Close()
			if err != nil {
				t.Fatal(err)
			}
			s.Handed = append(s.Handed, f)
		}
		if _, err := r.Start(deadline(t), s); err != nil {
			t.Fatal(err)
		}
		for _, f := range s.Handed {
			f.Close()
		}
		want := "2 dhcp:tftp 1 1 socket socket"
		if reaper {
			want = "2 dhcp:tftp 2 2 socket socket"
		}
		var log strings.Builder
		for ctx := deadline(t); !strings.Contains(log.String(), want); {
			log.Reset()
			err := r.Logs(ctx, 451, host.LogsSpec{}, func(_ bool, text []byte) error { log.Write(text); return nil })
			if err != nil || !run.Wait(ctx, 50*time.Millisecond) {
				t.Fatalf("the program said %q, %v, want %q", log.String(), err, want)
			}
		}
		if c, err := net.ListenPacket("udp4", "127.0.0.1:6767"); err == nil {
			c.Close()
			t.Error("the port is free while the program has its socket")
		}
		if err := r.Remove(deadline(t), 451, false); err != nil {
			t.Fatal(err)
		}
		c, err := net.ListenPacket("udp4", "127.0.0.1:6767")
		if err != nil {
			t.Fatalf("after its end: %v", err)
		}
		c.Close()
	}
	s := box(t, 452, forever)
	s.Sockets = host.NetbootSockets("lo")
	if _, err := r.Start(deadline(t), s); err == nil || !strings.Contains(err.Error(), "0 of its 4 sockets are open") {
		t.Errorf("without its sockets: %v", err)
	}
}
