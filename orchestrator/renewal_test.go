package main

import (
	"net/http"
	"testing"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/orchestrator/store"
)

// A host says everything once and then that it is unchanged: the orchestrator goes on knowing all of it, and asks for it anew whenever it
// does not have what is meant.
func TestUnchangedRenewals(t *testing.T) {
	t.Parallel()
	c := found(t, 1, "infra1", "host1")
	c.start()
	c.join("infra1", 0)
	h, cut := c.join("host1", 0)
	if op := c.create(hello("hello", 2)); op.State != operator.OpDone {
		t.Fatalf("create: %+v", op)
	}
	cut()
	say := func(r host.Report) (reply host.ReportReply) {
		t.Helper()
		if err := h.Call(t.Context(), http.MethodPost, host.PathReport, r, &reply); err != nil {
			t.Fatal(err)
		}
		return reply
	}
	known := func() (n int, digest wire.Digest) {
		snapshot := c.o.fleet.Snapshot()
		if r := snapshot[h.ID].Report; r != nil {
			return len(r.Containers), r.Digest
		}
		return 0, ""
	}
	whole := func() host.Report {
		r := h.Report()
		r.Digest = r.Sum()
		return r
	}
	first := whole()
	if got := say(first).Kept; got != first.Digest {
		t.Errorf("the answer to a whole report says that %q is kept, want %s", got, first.Digest)
	}
	renewal := func(of wire.Digest) host.Report { r := h.Report(); r.Shorten(of); return r }
	for range 2 { // the second is a repetition: the first answer was lost
		r := renewal(first.Digest)
		if reply := say(r); reply.Kept != first.Digest || reply.State != string(operator.HostActive) {
			t.Errorf("the answer to an unchanged renewal: %+v", reply)
		}
		if n, digest := known(); n != 2 || digest != first.Digest {
			t.Errorf("the orchestrator knows %d containers by %s, want 2 by %s", n, digest, first.Digest)
		}
	}
	again := renewal(first.Digest)
	for range 2 {
		if reply := say(again); reply.Kept != first.Digest {
			t.Errorf("the same renewal twice: %+v", reply)
		}
	}
	for what, r := range map[string]host.Report{
		"of another report": renewal(wire.DigestOf([32]byte{7})), "of no digest at all": renewal("nonsense"),
		"of another boot": func() host.Report { r := renewal(first.Digest); r.Boot = "another"; return r }(),
	} {
		if reply := say(r); reply.Kept != "" {
			t.Errorf("an unchanged renewal %s is said to be kept: %+v", what, reply)
		}
		if n, digest := known(); n != 2 || digest != first.Digest {
			t.Errorf("an unchanged renewal %s was taken in: %d containers by %s", what, n, digest)
		}
	}
	// Without containers and without saying that they are unchanged it is none that can be taken in.
	bare := h.Report()
	bare.Containers = nil
	if err := h.Call(t.Context(), http.MethodPost, host.PathReport, bare, nil); problemOf(err) == nil ||
		problemOf(err).Code != operator.Invalid {
		t.Errorf("a report that leaves the containers out: %v", err)
	}
	// An agent of the version before sends no digest, and an orchestrator that knows none keeps none.
	plain := h.Report()
	if reply := say(plain); reply.Kept != "" {
		t.Errorf("the answer to an earlier agent: %+v", reply)
	}
	if reply := say(renewal(first.Digest)); reply.Kept != "" {
		t.Errorf("what an earlier agent said since is not what the renewal means: %+v", reply)
	}

	last := whole()
	say(last)
	c.stopped()
	c.start()
	if reply := say(renewal(last.Digest)); reply.Kept != "" {
		t.Errorf("an orchestrator that has just started keeps nothing: %+v", reply)
	}
	if n, _ := known(); n != 0 {
		t.Errorf("it knows %d containers without having been told", n)
	}
	last = whole()
	if reply := say(last); reply.Kept != last.Digest {
		t.Errorf("the whole report after: %+v", reply)
	}
	if reply := say(renewal(last.Digest)); reply.Kept != last.Digest {
		t.Errorf("and unchanged from there: %+v", reply)
	}
	if n, _ := known(); n != 2 {
		t.Errorf("it knows %d containers, want 2", n)
	}
	if nodes := store.Nodes.Len(c.o.store.View()); nodes != 4 {
		t.Errorf("%d nodes, want the 2 of hello and the 2 of the platform", nodes)
	}
}
