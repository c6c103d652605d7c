package api

import (
	"context"

	"hardnode.dev/internal/wire/operator"
)

func (s *Server) listErrors(_ context.Context, c caller, _ *none) (operator.ErrorGroups, error) {
	out := operator.ErrorGroups{Groups: []operator.ErrorGroup{}}
	waiting, err := s.Errors()
	if err != nil {
		return out, operator.NewProblem(operator.Unavailable, "errors", err.Error(), "check the orchestrator's disk")
	}
	out.Lost = waiting.Lost
	w := c.world()
	for _, e := range waiting.Errors {
		g := operator.ErrorGroup{Fingerprint: e.Fingerprint, Host: e.Host, Component: e.Component, Kind: e.Kind, Version: e.Version,
			Message: e.Message, Count: e.Count, First: e.First, Last: e.Last}
		if h, there := w.Host(string(e.Host)); there && e.Host != "" {
			g.HostName = h.Name
		}
		out.Groups = append(out.Groups, g)
	}
	return out, nil
}
