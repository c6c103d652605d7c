package main

import (
	"strings"
	"testing"
	"time"

	"hardnode.dev/internal/jerror"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/jls"
	"hardnode.dev/internal/wire/operator"
)

// A host's errors wait in the orchestrator's spool, as those of the host that its certificate names; what is none is refused.
func TestErrorsOfHosts(t *testing.T) {
	t.Parallel()
	c := found(t, 1, "infra1", "host1")
	c.start()
	h1, _ := c.join("host1", 0)
	e := jerror.Of("kernel", "panic", "Fatal exception", time.Now())
	e.Host = "h-ffffffffffff"
	var reply jls.ErrorsReply
	must(t, h1.Call(t.Context(), "POST", host.PathErrors, jls.ErrorReport{Errors: []jls.JError{e}}, &reply))
	w, err := c.o.license.Errors.Waiting()
	must(t, err)
	if len(w.Errors) != 1 || w.Errors[0].Host != h1.ID || w.Errors[0].Message != "Fatal exception" || reply.Now.IsZero() {
		t.Errorf("waiting: %+v", w)
	}
	var shown operator.ErrorGroups
	c.ok("GET", operator.Prefix+"/errors", nil, &shown)
	if g := shown.Groups; len(g) != 1 || g[0].Host != h1.ID || g[0].HostName != "host1" || g[0].Message != "Fatal exception" ||
		g[0].Count != 1 {
		t.Errorf("shown: %+v", shown)
	}
	e.Message = strings.Repeat("x", jls.MaxMessage+1)
	p := problemOf(h1.Call(t.Context(), "POST", host.PathErrors, jls.ErrorReport{Errors: []jls.JError{e}}, &reply))
	if p == nil || p.Code != operator.Invalid || p.Next == "" {
		t.Errorf("a message that is too long: %v", p)
	}
}
