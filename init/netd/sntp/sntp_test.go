package sntp

import (
	"context"
	"net"
	"testing"
	"time"
)

func TestMove(t *testing.T) {
	now, floor := time.Unix(1_000_000, 0), time.Unix(999_000, 0)
	for _, c := range []struct {
		name   string
		offset time.Duration
		want   time.Time
		ok     bool
	}{
		{"close enough", 50 * time.Millisecond, now, false},
		{"behind", time.Hour, now.Add(time.Hour), true},
		{"ahead", -time.Minute, now.Add(-time.Minute), true},
		{"a server from before the build", -time.Hour, now.Add(-time.Hour), false},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got, ok := move(now, c.offset, floor); !got.Equal(c.want) || ok != c.ok {
				t.Errorf("got %v, %v; want %v, %v", got, ok, c.want, c.ok)
			}
		})
	}
}

// TestOtherServers: where there was none, one that is confirmed later is asked; it ends with its context.
func TestOtherServers(t *testing.T) {
	l, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	var none []string
	at := make(chan struct{})
	now := [2]chan struct{}{at, make(chan struct{})}
	servers := func() ([]string, <-chan struct{}) {
		select {
		case <-at:
			return []string{l.LocalAddr().String()}, now[1]
		default:
			return none, now[0]
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- Keep(ctx, nil, servers, time.Time{}, nil, nil) }()
	close(at)
	question := make([]byte, 512)
	l.SetReadDeadline(time.Now().Add(time.Minute))
	n, from, err := l.ReadFrom(question)
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	l.WriteTo(make([]byte, n), from) // no answer that holds: it is not waited for
	if err := <-done; err != nil {
		t.Error(err)
	}
}
