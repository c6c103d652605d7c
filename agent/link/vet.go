package link

import (
	"context"

	"hardnode.dev/internal/logging"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/operator"
)

// vetted waits until this machine may be heard of: it has an identity, but reports nothing, takes no Assignment and carries out no session
// before. False when ctx ended first.
func (l *Link) vetted(ctx context.Context) bool {
	if l.o.Vet == nil {
		return true
	}
	last := ""
	for again := (retry{most: waitJoin}); ctx.Err() == nil; {
		err := l.o.Vet(ctx)
		if err == nil {
			if last != "" {
				l.update(func(s *Status) { s.Link, s.Problems = wordConnecting, nil })
			}
			return true
		}
		word := wordConnecting
		p := asProblem(ObjectOrchestrator, err, "containers go on running; check the network between this host and join.endpoints")
		if p.Code == string(operator.Denied) {
			word = wordNotConnecting
		}
		if p.Reason != last {
			l.log.Warn(word, logging.Reason, p.Reason, "next", p.Next)
			last = p.Reason
		}
		l.update(func(s *Status) { s.Linked, s.Link, s.Problems = false, word, []host.Problem{p} })
		if !again.wait(ctx, err) {
			break
		}
	}
	return false
}
