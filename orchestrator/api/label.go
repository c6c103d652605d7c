package api

import (
	"context"
	"maps"
	"strconv"
	"strings"

	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/orchestrator/store"
)

type labelsAnswer struct {
	ETag string `header:"ETag" doc:"The revision of the host's record, quoted"`
	Body operator.HostLabels
}

func (s *Server) getLabels(_ context.Context, c caller, in *hostInput) (*labelsAnswer, error) {
	h, ok := c.world().Host(in.Host)
	if !ok {
		return nil, noHost(in.Host)
	}
	v := s.Store.View()
	rec, _ := store.Hosts.Get(v, string(h.ID))
	out := operator.HostLabels{Labels: map[string]string{}, Revision: store.Hosts.Revision(v, string(h.ID))}
	maps.Copy(out.Labels, rec.Labels)
	return &labelsAnswer{strconv.Quote(out.Revision.String()), out}, nil
}

type labelsInput struct {
	Host    string `path:"host" maxLength:"63"`
	IfMatch string `header:"If-Match" maxLength:"40" doc:"Only if the host's record still has this ETag"`
	Body    operator.SetHostLabels
}

// setLabels replaces what is said of a host for placing. Nodes that are there stay; those that wait for a host like that come.
func (s *Server) setLabels(ctx context.Context, c caller, in *labelsInput) (*labelsAnswer, error) {
	rev, err := revision(in.IfMatch)
	if err != nil {
		return nil, err
	}
	h, ok := c.world().Host(in.Host)
	if !ok {
		return nil, noHost(in.Host)
	}
	if err := operator.Labels(in.Body.Labels); err != nil {
		return nil, operator.NewProblem(operator.Invalid, "labels", err.Error(), "change the label, e.g. disk=ssd")
	}
	if err := s.do(c, "host.label", because(h, strings.Join(operator.LabelWords(in.Body.Labels), " ")), func() error {
		return s.Enroll.Label(ctx, h.ID, in.Body.Labels, rev)
	}); err != nil {
		return nil, err
	}
	return s.getLabels(ctx, c, &hostInput{string(h.ID)})
}
