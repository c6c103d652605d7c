package main

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"hardnode.dev/internal/secret"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/orchestrator/authz"
	"hardnode.dev/orchestrator/converge/published"
	"hardnode.dev/orchestrator/hostapi/hosttest"
	"hardnode.dev/orchestrator/store"
)

// both are the protocols that the tests of differences speak.
var both = host.Protocols{Oldest: 1, Newest: 2}

// token gives an account a token to make environments with: nobody but the store can yet.
func (c *cluster) token(a wire.Account) string {
	c.t.Helper()
	text := "hnt." + string(a) + ".0123456789abcdef0123456789abcdef"
	update(c.t, c.o, func(tx *store.Tx) {
		rec := store.Token{ID: string(a), Name: string(a), Account: a, Hash: authz.Hash(secret.Text(text)), Created: time.Now(),
			Scopes: []string{string(authz.Write), string(authz.Read)}}
		store.Tokens.Put(tx, rec.Hash, rec)
	})
	return text
}

func update(t testing.TB, o *orchestrator, f func(*store.Tx)) {
	t.Helper()
	_, err := o.store.Update(t.Context(), func(tx *store.Tx) error { f(tx); return nil })
	must(t, err)
}

// speaks makes an orchestrator speak those protocols.
func speaks(p host.Protocols) func(*orchestrator) {
	return func(o *orchestrator) { o.hosts.Spoken = p }
}

// joins makes a host of a protocol join and run.
func (c *cluster) joins(name string, spoken host.Protocols, memory int64) (*hosttest.Host, func()) {
	c.t.Helper()
	c.spoken = spoken
	defer func() { c.spoken = host.Protocols{} }()
	return c.join(name, memory)
}

// quiet waits until every host has been told all there is, so that what is told next is because of what is done next.
func (c *cluster) quiet(hosts ...*hosttest.Host) {
	c.t.Helper()
	c.settle()
	c.eventually("the hosts have all there is", func() bool {
		for _, h := range hosts {
			var a host.Assignment
			if err := h.Call(c.t.Context(), "GET", hosttest.Asks(h.Known(), 0), nil, &a); err != nil || a != (host.Assignment{}) {
				return false
			}
		}
		return true
	})
}

func told(t *testing.T, h *hosttest.Host) int64 {
	t.Helper()
	n, err := h.Told()
	must(t, err)
	return n
}

func hasNames(h *hosttest.Host, of string) bool {
	return slices.ContainsFunc(h.Peers().Names, func(n host.Name) bool { return strings.HasSuffix(n.Name, "."+of+".internal") })
}

// What a host is told when something unrelated happens: an environment of another account is not told of at all, one of an account with
// containers here costs its own names, and another host's change costs that host.
func TestBytesTold(t *testing.T) {
	t.Parallel()
	c := found(t, 9, "infra1", "host1", "host2", "host3")
	c.prepare = speaks(both)
	c.start()
	infra, _ := c.joins("infra1", both, 0)
	h1, _ := c.joins("host1", both, 0)
	bob := c.token("bob")
	if op := c.create(hello("mine", 20)); op.State != operator.OpDone {
		t.Fatalf("create: %+v", op)
	}
	if n := len(h1.Containers()); n != 20 {
		t.Fatalf("host1 has %d containers", n)
	}
	h2, _ := c.joins("host2", both, 0)
	c.quiet(infra, h1, h2)

	before := map[*hosttest.Host]int64{infra: told(t, infra), h1: told(t, h1), h2: told(t, h2)}
	c.bearer = bob
	if op := c.create(hello("theirs", 1)); op.State != operator.OpDone {
		t.Fatalf("create: %+v", op)
	}
	c.bearer = adminToken
	c.quiet(infra, h1, h2)
	if len(h2.Containers()) != 1 {
		t.Fatalf("host2 has the containers %v, host1 %v", h2.Containers(), h1.Containers())
	}
	n := told(t, h1) - before[h1]
	if n != 0 || hasNames(h1, "theirs") {
		t.Errorf("of an unrelated environment host1, with 20 nodes, was told %d bytes", n)
	}
	if os.Getenv("HARDNODE_BENCH") != "" {
		fmt.Printf("FIGURE sent to a host with 20 nodes when an environment of another account is created elsewhere: %d bytes (bar 0)\n", n)
	}
	if n := told(t, infra) - before[infra]; n != 0 || hasNames(infra, "theirs") {
		t.Errorf("of an unrelated environment infra1 was told %d bytes", n)
	}
	if !hasNames(h2, "theirs") || hasNames(h2, "mine") || !hasNames(h2, "jelastic") {
		t.Errorf("host2 runs bob's node alone, and has the names %v", h2.Peers().Names)
	}

	was := told(t, h1)
	if op := c.create(hello("more", 1)); op.State != operator.OpDone {
		t.Fatalf("create: %+v", op)
	}
	c.quiet(infra, h1, h2)
	if n := told(t, h1) - was; n == 0 || n > 800 && len(h1.Containers()) == 20 || !hasNames(h1, "more") {
		t.Errorf("of a node of its account on another host, host1 was told %d bytes", n)
	}
	if hasNames(infra, "more") {
		t.Error("infra1 runs nothing of admin's, and is told its names")
	}

	was = told(t, h1)
	c.joins("host3", both, 0)
	c.quiet(infra, h1, h2)
	if n := told(t, h1) - was; n == 0 || n > 3000 || len(h1.Peers().Hosts) != 4 {
		t.Errorf("of a host that joined, host1 was told %d bytes", n)
	}
}

// The orchestrator is restarted, or brought back to one that had the names of all in one document: a host loses none of its names
// meanwhile, nor is it told again what it has.
func TestNamesOverRestart(t *testing.T) {
	t.Parallel()
	for _, spoken := range []host.Protocols{{Oldest: 1, Newest: 1}, both} {
		t.Run("protocol "+spoken.String(), func(t *testing.T) {
			t.Parallel()
			c := found(t, 2, "infra1", "host1")
			c.prepare = speaks(both)
			c.start()
			c.joins("infra1", spoken, 0)
			h1, _ := c.joins("host1", spoken, 0)
			if op := c.create(hello("hello", 3)); op.State != operator.OpDone {
				t.Fatalf("create: %+v", op)
			}
			c.quiet(h1)
			want := fmt.Sprint(h1.Peers().Names)
			lost := make(chan string, 1)
			h1.OnPeers(func(p host.Peers) {
				if got := fmt.Sprint(p.Names); got != want {
					select {
					case lost <- got:
					default:
					}
				}
			})
			was := told(t, h1)
			c.stopped()
			c.start()
			c.quiet(h1)
			if n := told(t, h1) - was; n != 0 {
				t.Errorf("after a restart it was told %d bytes", n)
			}
			// An orchestrator before names had records of their own leaves this behind.
			c.stopped()
			c.prepare = func(o *orchestrator) {
				speaks(both)(o)
				doc, _ := published.Compose(o.store.View())
				update(t, o, func(tx *store.Tx) {
					store.PeersDoc.Put(tx, store.Only, doc)
					store.Numbers.Delete(tx, store.Published)
					for name := range store.EnvNames.Refs(tx.View()) {
						store.EnvNames.Delete(tx, name)
					}
				})
			}
			c.start()
			c.eventually("the names have records of their own again", func() bool { return store.EnvNames.Len(c.o.store.View()) == 2 })
			c.quiet(h1)
			select {
			case got := <-lost:
				t.Errorf("its names were %s, want %s all the time", got, want)
			default:
			}
		})
	}
}

// A host and an orchestrator of protocol 1 and of this version, each with each: the host knows the others and the names there are, is told
// what changes, and what is asked of it is done.
func TestProtocolPairs(t *testing.T) {
	t.Parallel()
	one := host.Protocols{Oldest: 1, Newest: 1}
	for _, ours := range []host.Protocols{one, both} {
		for _, theirs := range []host.Protocols{one, both} {
			t.Run("orchestrator "+ours.String()+", host "+theirs.String(), func(t *testing.T) {
				t.Parallel()
				c := found(t, 2, "infra1", "host1", "host2")
				c.prepare = speaks(ours)
				c.start()
				c.joins("infra1", theirs, 0)
				h1, _ := c.joins("host1", theirs, 0)
				if op := c.create(hello("first", 2)); op.State != operator.OpDone {
					t.Fatalf("create: %+v", op)
				}
				h2, _ := c.joins("host2", theirs, 0)
				if op := c.create(hello("second", 2)); op.State != operator.OpDone {
					t.Fatalf("create: %+v", op)
				}
				c.eventually("both hosts know each other and all names", func() bool {
					return len(h1.Peers().Hosts) == 3 && len(h2.Peers().Hosts) == 3 && hasNames(h1, "first") && hasNames(h1, "second") &&
						hasNames(h2, "first") && hasNames(h2, "second") && hasNames(h2, "jelastic")
				})
				c.eventually("the peers that a report is answered with are those it has", func() bool {
					return h1.Last().Peers == h1.Peers().Revision && h1.Last().Peers > 0
				})
				var a operator.Accepted
				c.ok("DELETE", "/api/v1/environments/first", nil, &a)
				if op := c.ended(a.Operation.ID); op.State != operator.OpDone {
					t.Fatalf("delete: %+v", op)
				}
				c.eventually("the names of what is gone are gone", func() bool { return !hasNames(h1, "first") && !hasNames(h2, "first") })
				second := theirs.Newest == 2 && ours.Newest == 2
				if known := h1.Known(); (known.Hosts != 0) != second || (known.Names != nil) != second {
					t.Errorf("it asks with %s", known.Query())
				}
				told(t, h1)
			})
		}
	}
}
