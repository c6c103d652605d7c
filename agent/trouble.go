package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"hardnode.dev/agent/plan"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
)

// troubles are the containers that fail or can't run, as problems for whoever stands before this machine. The orchestrator has them from
// the containers' statuses, but it may itself be the one that fails.
func (a *agent) troubles(ctx context.Context, list []host.ContainerStatus) (out []host.Problem) {
	var named map[wire.CTID]host.Container
	for _, st := range list {
		if st.State != host.CtFailing && st.State != host.CtBroken {
			continue
		}
		if named == nil {
			named = a.named()
		}
		last := ""
		if st.State == host.CtFailing {
			last = a.lastWords(ctx, st.CTID)
		}
		out = append(out, trouble(st, named[st.CTID], last))
	}
	return out
}

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

// trouble words one container's state. The seconds of a back-off are left out: the line would be new each second.
func trouble(st host.ContainerStatus, c host.Container, last string) host.Problem {
	p := host.Problem{Code: "internal", Object: "container " + st.CTID.String(), CTID: st.CTID, Next: "it is started again by itself; its log: hnctl node logs " + st.CTID.String()}
	switch {
	case c.Component != "":
		p.Object += " (" + c.Component + ")"
	case c.Env != "":
		p.Object += " (" + string(c.Env) + ")"
	}
	p.Reason, _, _ = strings.Cut(st.Reason, plan.NextStart)
	if st.State == host.CtBroken {
		p.Code, p.Next = "invalid", "" // the reason says what to mend
	}
	if last != "" {
		if rs := []rune(last); len(rs) > maxWords {
			last = "…" + string(rs[len(rs)-maxWords:]) // what went wrong stands at a line's end
		}
		p.Reason += fmt.Sprintf("; it said last: %s", last)
	}
	return p
}
