package system

import (
	"context"
	"errors"
	"testing"
	"time"

	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/slots"
)

// Blocks come from other hosts; one that lies, hangs, goes away or has another system by then costs time alone.
func TestPeers(t *testing.T) {
	type peer = func(context.Context, int64, int) ([]byte, error)
	file := []byte(uki("1.1.0"))
	asked := 0
	good := func(_ context.Context, offset int64, length int) ([]byte, error) {
		asked++
		return file[offset : offset+int64(length)], nil
	}
	after := func(n int, then peer) peer {
		return func(ctx context.Context, offset int64, length int) ([]byte, error) {
			if n--; n >= 0 {
				return good(ctx, offset, length)
			}
			return then(ctx, offset, length)
		}
	}
	lies := func(_ context.Context, offset int64, length int) ([]byte, error) {
		raw := append([]byte{}, file[offset:offset+int64(length)]...)
		raw[len(raw)/2]++
		return raw, nil
	}
	gone := func(context.Context, int64, int) ([]byte, error) { return nil, errors.New("connection reset") }
	for _, c := range []struct {
		name  string
		peers []peer
		infra bool // the orchestrator gives what no host did
	}{
		{"one has all of it", []peer{good}, false},
		{"there is none", nil, true},
		{"it lies", []peer{lies}, true},
		{"it lies, the next does not", []peer{lies, good}, false},
		{"it is gone half-way", []peer{after(2, gone)}, true},
		{"it is gone half-way, the next is not", []peer{after(2, gone), good}, false},
		{"its slot is rewritten meanwhile", []peer{after(1, func(_ context.Context, offset int64, length int) ([]byte, error) {
			return []byte(uki("1.0.0"))[offset : offset+int64(length)], nil
		})}, true},
		{"it gives less than it was asked for", []peer{func(_ context.Context, offset int64, length int) ([]byte, error) {
			return file[offset : offset+int64(length)-1], nil
		}}, true},
		{"it is too slow", []peer{func(ctx context.Context, _ int64, _ int) ([]byte, error) {
			ctx, cancel := context.WithTimeout(ctx, 10*time.Millisecond)
			defer cancel()
			<-ctx.Done()
			return nil, ctx.Err()
		}}, true},
	} {
		m := newMachine(t)
		m.publish("1.1.0")
		asked, m.peers = 0, c.peers
		m.holds[slots.A] = []byte("nothing that would be of use")
		m.order("1.1.0", host.Stage)
		m.says(host.SystemStaged, "")
		if m.is.Slots[1].State != slots.Staged || m.is.Slots[1].SHA256 != hexOf(file) {
			t.Errorf("%s: slot b: %+v", c.name, m.is.Slots[1])
		}
		if n := m.fetched(); (n > 100<<10) != c.infra {
			t.Errorf("%s: %d bytes came from the orchestrator, %d ranges from hosts", c.name, n, asked)
		}
	}
}
