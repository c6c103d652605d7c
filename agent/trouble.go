package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
)

// troubles are the containers that fail or can't run, as problems for whoever stands before this machine. The orchestrator has them from
// the containers' statuses, but it may itself be the one that fails.
func (a *agent) troubles(ctx context.Context, list []host.ContainerStatus) (out []host.Problem) {
	bad := slices.DeleteFunc(slices.Clone(list), func(st host.ContainerStatus) bool {
		return st.State != host.CtFailing && st.State != host.CtBroken
	})
	if len(bad) == 0 {
		return nil
	}
	named := a.named()
	for _, st := range bad[:min(len(bad), maxTroubles)] {
		last := ""
		if st.State == host.CtFailing && st.Started.IsZero() { // it ended; of one that runs its check says more
			last = a.lastWords(ctx, st.CTID)
		}
		out = append(out, trouble(st, named[st.CTID], last))
	}
	if more := len(bad) - maxTroubles; more > 0 {
		out = append(out,
			host.Problem{Code: "internal", Object: "containers", Reason: fmt.Sprintf("%d more fail", more), Next: "see hnctl node list"})
	}
	return out
}

// maxTroubles is how many containers are named: a screen has no room for more, and this is asked every second.
const maxTroubles = 4

// named are the containers that this host shall have.
func (a *agent) named() map[wire.CTID]host.Container {
	out := map[wire.CTID]host.Container{}
	if work, _ := a.store.Work(); work != nil {
		for _, c := range work.Containers {
			out[c.CTID] = c
		}
	}
	return out
}

// lastWords is the last line of a container's log, "" if there is none.
func (a *agent) lastWords(ctx context.Context, id wire.CTID) (last string) {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	err := a.runtime.Logs(ctx, id, host.LogsSpec{Tail: 1}, func(_ bool, text []byte) error {
		last = strings.TrimSpace(string(text))
		return nil
	})
	if err != nil {
		return ""
	}
	return last
}

// maxWords is how much of a container's last line is shown, in runes.
const maxWords = 100

// trouble words one container's state. When it is started again is left out: the console says a line anew when it changes.
func trouble(st host.ContainerStatus, c host.Container, last string) host.Problem {
	p := host.Problem{Code: "internal", Object: "container " + st.CTID.String(), CTID: st.CTID,
		Next: "its log: hnctl node logs " + st.CTID.String()}
	switch {
	case c.Component != "":
		p.Object += " (" + c.Component + ")"
	case c.Env != "":
		p.Object += " (" + string(c.Env) + ")"
	}
	p.Reason = st.Reason
	if st.State == host.CtBroken {
		p.Code, p.Next = "invalid", "" // the reason says what to mend
	}
	if st.State == host.CtFailing && st.Started.IsZero() {
		p.Next = "it is started again by itself; " + p.Next
	}
	if last != "" {
		if rs := []rune(last); len(rs) > maxWords {
			last = "…" + string(rs[len(rs)-maxWords:]) // what went wrong stands at a line's end
		}
		p.Reason += fmt.Sprintf("; it said last: %s", last)
	}
	return p
}
