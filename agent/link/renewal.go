package link

import (
	"time"

	"hardnode.dev/internal/wire/host"
)

// renewal is what the orchestrator knows of this host by its last whole report: while nothing of that changes, and the orchestrator said
// that it keeps it, reports are unchanged renewals. The zero value makes the next report whole.
type renewal struct {
	whole host.Report
	at    time.Time // when it was made
	kept  bool
}

// next makes the report that goes out now of all there is to say: a whole one, or an unchanged renewal.
func (n *renewal) next(r host.Report, now time.Time) host.Report {
	if n.kept && n.whole.Boot == r.Boot && n.whole.Steady(&r) && !n.whole.Due(&r, now.Sub(n.at)) {
		r.Shorten(n.whole.Digest)
		return r
	}
	if r.Containers == nil {
		r.Containers = []host.ContainerStatus{} // it has none
	}
	r.Digest = r.Sum()
	n.whole, n.at, n.kept = r, now, false
	return r
}

// answered takes in how a report ended; false when it was not taken in because it is no whole one, which must follow at once. An earlier
// orchestrator refuses an unchanged renewal; one that has just started, or another one, does not have the report it is unchanged from.
func (n *renewal) answered(sent host.Report, reply host.ReportReply, err error) bool {
	_, refused := problemOf(err)
	if err == nil {
		n.kept = reply.Kept != "" && reply.Kept == n.whole.Digest
	} else if refused {
		n.kept = false
	}
	return sent.Unchanged == "" || n.kept
}
