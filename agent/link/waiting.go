package link

import (
	"context"
	"crypto/ed25519"
	"time"

	"hardnode.dev/internal/identity"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/boot"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/internal/wire/waiting"
)

// stillWaiting says that nobody has admitted this host yet, and when to ask again.
type stillWaiting struct {
	problem *operator.Problem
	again   time.Duration
}

func (w *stillWaiting) Error() string { return w.problem.Error() }
func (w *stillWaiting) Unwrap() error { return w.problem }

// waitOnce asks whether a person has admitted this host, and joins if so.
func (l *Link) waitOnce(ctx context.Context, _ boot.Join) error {
	csr, err := identity.CSR(l.key)
	if err != nil {
		return err
	}
	req := waiting.Request{CSR: csr, Version: l.o.Version}
	if l.o.Machine != nil {
		req.Machine = l.o.Machine()
	}
	var reply waiting.Reply
	a, err := l.ask(ctx, l.client.without, waiting.Path, req, &reply)
	if p, said := problemOf(err); said && p.Code == operator.NotFound {
		return operator.NewProblem(operator.NotFound, "join.token",
			"the orchestrator is of a version that admits no host without a join token",
			"make one with `hnctl host token`, put it into the host configuration and reboot; or update the orchestrator")
	}
	if err != nil {
		return err
	}
	if reply.Enrolled != nil {
		return l.join(*reply.Enrolled, a)
	}
	// What the console shows is this host's own sum, never what the other side says of it.
	code := l.Status().Code
	return &stillWaiting{operator.NewProblem(operator.Denied, "join", "nobody has admitted this machine yet",
		"compare code "+code+" with hnctl host waiting, then: hnctl host admit "+code),
		min(max(time.Duration(reply.Again)*time.Millisecond, time.Second), time.Minute)}
}

func (l *Link) public() ed25519.PublicKey { return l.key.Public().(ed25519.PublicKey) }

// code is what the record keeps of the short code of the host of that id.
func (l *Link) code(id wire.HostID) string {
	rec, found, err := l.doc.Load()
	if err != nil || !found || rec.Host != id {
		return ""
	}
	return rec.Code
}

// shown is the code that a host shows which has joined: hosts that joined with version 0.1 go on with the one that people know.
func (l *Link) shown(rec record) string {
	if rec.Code != "" {
		return rec.Code
	}
	return identity.ShortCode(l.public())
}
