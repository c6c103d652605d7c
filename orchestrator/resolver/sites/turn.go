package sites

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"net/netip"
	"time"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/front"
	"hardnode.dev/internal/wire/host"
)

// share is a backend's among those of its site.
func share(b host.Backend) uint32 {
	switch {
	case b.Spare:
		return 0
	case b.Weight == 0:
		return front.MaxWeight
	}
	return uint32(b.Weight)
}

// Next is the backend whose turn it is, leaving out those in tried; nil when all were tried. Backends that are held come after those that
// are up, and those that are down come last: if none is up, one that is said to be down may have come back. Those that are up have turns by
// their shares, and one without a share only when no other is up.
func (s *Site) Next(tried []*Backend) *Backend {
	n := uint32(len(s.Backends))
	if n == 0 {
		return nil
	}
	start, now := s.turn.Add(1), time.Now()
	if s.uneven {
		if b := s.byShare(start, tried, now); b != nil {
			return b
		}
	}
	var last *Backend
	waits := false // last is held
	for i := range n {
		b := s.Backends[(start+i)%n]
		if among(b, tried) {
			continue
		}
		_, _, held := b.Held(now)
		if b.Up() && !held {
			return b
		}
		if last == nil || held && !waits {
			last, waits = b, held
		}
	}
	return last
}

// golden is 2^32 divided by the golden ratio: multiples of it, modulo 2^32, fall evenly into any shares.
const golden = 2654435769

// byShare is Next among those that are up and have a share; nil: there is none.
func (s *Site) byShare(turn uint32, tried []*Backend, now time.Time) *Backend {
	var room [16]int
	ready, all := room[:0], uint32(0)
	for i, b := range s.Backends {
		if _, _, held := b.Held(now); s.shares[i] > 0 && !held && b.Up() && !among(b, tried) {
			ready, all = append(ready, i), all+s.shares[i]
		}
	}
	at := uint32(uint64(turn*golden) * uint64(all) >> 32)
	for _, i := range ready {
		if at < s.shares[i] {
			return s.Backends[i]
		}
		at -= s.shares[i]
	}
	return nil
}

// Stuck is the backend that a client's cookie names, if the client is to stay with it: it is up or held, and has a share.
func (s *Site) Stuck(cookie string) *Backend {
	for i, b := range s.Backends[:len(s.marks)] {
		if subtle.ConstantTimeCompare([]byte(s.marks[i]), []byte(cookie)) != 1 {
			continue
		}
		_, _, held := b.Held(time.Now())
		if (held || b.Up()) && s.shares[i] > 0 {
			return b
		}
	}
	return nil
}

// Mark is what the cookie of a client says that was answered by b; "" if clients don't stay here.
func (s *Site) Mark(b *Backend) string {
	for i, x := range s.Backends {
		if x == b && i < len(s.marks) {
			return s.marks[i]
		}
	}
	return ""
}

// Sticky tells whether clients stay with the node that answered them.
func (s *Site) Sticky() bool { return len(s.marks) > 0 }

// mark is made of the cluster's key, so that nobody can tell from it which node it is, nor make one.
func mark(key []byte, env wire.EnvName, ctid wire.CTID) string {
	m := hmac.New(sha256.New, key)
	fmt.Fprintf(m, "sticky %s %d", env, ctid)
	return base64.RawURLEncoding.EncodeToString(m.Sum(nil)[:15])
}

// Enter takes a place for a client's request among those of its address; false: it has as many as the site lets it have. Leave gives it
// back.
func (s *Site) Enter(a netip.Addr) (leave func(), ok bool) {
	if s.sources == nil {
		return func() {}, true
	}
	return s.sources.Enter(a)
}

func among(b *Backend, list []*Backend) bool {
	for _, x := range list {
		if x == b {
			return true
		}
	}
	return false
}
