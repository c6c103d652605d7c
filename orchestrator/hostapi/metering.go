package hostapi

import (
	"context"
	"errors"
	"io"
	"net/http"
	"time"

	"hardnode.dev/internal/identity"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/metering"
	"hardnode.dev/internal/wire/neighbour"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/internal/wire/session"
	"hardnode.dev/internal/wire/usage"
	"hardnode.dev/orchestrator/store"
)

// Of a host's answer to metering: how long it may take, and the most of it in bytes.
const (
	usageWait = 45 * time.Second
	mostUsage = 16 << 20
)

// isMetering tells whether the component metering calls; another caller is told that it may not.
func isMetering(w http.ResponseWriter, r *http.Request) bool {
	p, ok := identity.ClientOf(r.TLS, time.Now())
	if !ok || p.Component != metering.Component {
		operator.WriteProblem(w, operator.NewProblem(operator.Denied, r.URL.Path, "this needs the certificate of metering", ""))
		return false
	}
	return true
}

// meteredHosts are the hosts that metering reads.
func (s *Server) meteredHosts(w http.ResponseWriter, r *http.Request) {
	if !isMetering(w, r) {
		return
	}
	out := metering.Hosts{Hosts: []metering.Host{}}
	for _, h := range store.Hosts.Refs(s.Store.View()) {
		out.Hosts = append(out.Hosts, metering.Host{ID: h.ID, Name: h.Name})
	}
	answer(w, out)
}

// meteredUsage asks a host on metering's behalf.
func (s *Server) meteredUsage(w http.ResponseWriter, r *http.Request) {
	if !isMetering(w, r) {
		return
	}
	var ask usage.Ask
	err := read(w, r, maxSmall, &ask)
	if err == nil {
		if wrong := ask.Validate(); wrong != nil {
			err = operator.NewProblem(operator.Invalid, "body", wrong.Error(), "compare the versions of metering and orchestrator")
		}
	}
	var out usage.Answer
	if err == nil {
		out, err = s.used(r.Context(), wire.HostID(r.PathValue("host")), ask)
	}
	if err != nil {
		operator.WriteProblem(w, err)
		return
	}
	answer(w, owned(s.Store.View(), out))
}

// used is a host's answer, with the MHz of its processors where it is of a version that does not say them.
func (s *Server) used(ctx context.Context, id wire.HostID, ask usage.Ask) (out usage.Answer, err error) {
	h := store.Hosts.Find(s.Store.View(), string(id))
	if h == nil {
		return out, operator.NewProblem(operator.NotFound, "hosts/"+string(id), "there is no such host", "")
	}
	is := s.Fleet.Snapshot()[id]
	if is.State.State != operator.HostActive {
		return out, operator.NewProblem(operator.Unavailable, "hosts/"+h.Name, "it is "+string(is.State.State), "wait until it is back")
	}
	ctx, cancel := context.WithTimeout(ctx, usageWait)
	defer cancel()
	link, err := s.Hub.Open(ctx, wire.AdminAccount, id, host.SessionRequest{Usage: &ask})
	if err != nil {
		return out, err
	}
	defer link.Close()
	line := session.Open(ctx, link.Conn, session.PersonEnd, session.Options{})
	defer line.Close()
	raw, readErr := io.ReadAll(io.LimitReader(line.Reader(host.ChanStdout), mostUsage))
	exit, err := line.Exited()
	switch {
	case err == nil && (exit.Error != "" || exit.Code != 0):
		err = errors.New(exit.Error)
	case err == nil:
		err = readErr
	}
	if err == nil {
		err = neighbour.Decode(raw, &out)
	}
	if err != nil {
		return out, operator.NewProblem(operator.Unavailable, "hosts/"+h.Name, "it did not answer: "+err.Error(), "try again")
	}
	if r := is.Report; out.MHz == 0 && r != nil {
		out.MHz = r.Capacity.MHz
	}
	return out, nil
}

// owned says whose the records are that do not say it themselves, being of an earlier version: whose the node is now. Of one that is gone
// nobody knows it any more.
func owned(v *store.View, a usage.Answer) usage.Answer {
	for i, r := range a.Records {
		if n := store.Nodes.Find(v, r.CTID.String()); n != nil && r.Account == "" {
			a.Records[i].Account, a.Records[i].Env = n.Container.Account.Owner(), n.Env
		}
	}
	return a
}
