package platform

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/orchestrator/patcher/rollout"
)

// asks is how many requests are under way at once.
const asks = 4

// Release is one that the platform imported.
func (c *Client) Release(ctx context.Context, version string) (operator.Release, error) {
	var all operator.Releases
	if err := c.call(ctx, http.MethodGet, "/releases", nil, &all); err != nil {
		return operator.Release{}, err
	}
	i := slices.IndexFunc(all.Releases, func(r operator.Release) bool { return r.Version == version })
	if i < 0 {
		return operator.Release{}, operator.NewProblem(operator.NotFound, "releases/"+version, "no such release was imported",
			"see hnctl release list, or import it: hnctl release import FILE")
	}
	return all.Releases[i], nil
}

// Look is the platform now: all hosts, and of those that are watched their nodes, their system and the operation of their drain.
func (c *Client) Look(ctx context.Context, watched []wire.HostID, drains map[wire.HostID]wire.OperationID) (rollout.Seen, error) {
	return c.look(ctx, "", drains, func(h wire.HostID) bool { return slices.Contains(watched, h) })
}

// components are the platform's, with their images in a release if one is named. An orchestrator of before they were patched has no list.
func (c *Client) components(ctx context.Context, release string) ([]operator.Component, error) {
	query := url.Values{}
	if release != "" {
		query.Set("release", release)
	}
	list, err := items[operator.Component](ctx, c, "/components", query)
	if is(err, operator.NotFound) {
		return nil, nil
	}
	return list, err
}

// Everything is the platform now with all that is known of each host, and what a release has for each component.
func (c *Client) Everything(ctx context.Context, release string) (rollout.Seen, error) {
	seen, err := c.look(ctx, release, nil, func(wire.HostID) bool { return true })
	if err != nil {
		return seen, err
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(asks)
	for i := range seen.Hosts {
		if h := &seen.Hosts[i]; h.State == operator.HostActive {
			g.Go(func() error { return c.fates(ctx, h) })
		}
	}
	return seen, g.Wait()
}

// fates asks what a drain would do to a host's nodes. An orchestrator that does not say is no error.
func (c *Client) fates(ctx context.Context, h *rollout.Host) error {
	var would operator.Accepted
	err := c.call(ctx, http.MethodPost, of(h.ID)+"/drain?dry_run=true&no_move=true", operator.DrainHost{Stop: true}, &would)
	switch {
	case err != nil && !Final(err):
		return err
	case err != nil:
		return nil
	}
	h.Fates = map[wire.CTID]string{}
	for _, n := range would.Drain {
		if n.Way != operator.WayReplace {
			h.Fates[n.CTID] = n.Why
		}
	}
	return nil
}

func (c *Client) look(ctx context.Context, release string, drains map[wire.HostID]wire.OperationID,
	closely func(wire.HostID) bool) (rollout.Seen, error) {
	var seen rollout.Seen
	hosts, err := items[operator.Host](ctx, c, "/hosts", url.Values{"limit": {"1000"}})
	if err != nil {
		return seen, err
	}
	if seen.Components, err = c.components(ctx, release); err != nil {
		return seen, err
	}
	seen.Hosts = make([]rollout.Host, len(hosts))
	errs, err := c.errors(ctx)
	if err != nil {
		return seen, err
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(asks)
	for i, h := range hosts {
		out := &seen.Hosts[i]
		*out = rollout.Host{Host: h, Cordoned: h.Cordon != nil, Errors: errs[h.ID]}
		if !closely(h.ID) {
			continue
		}
		g.Go(func() error { return c.closely(ctx, out, drains[h.ID]) })
	}
	err = g.Wait()
	seen.At = time.Now().UTC()
	return seen, err
}

// errors are those of the platform's programs, by host. An orchestrator of before, which does not tell them, is no error.
func (c *Client) errors(ctx context.Context) (map[wire.HostID][]rollout.JError, error) {
	var all operator.ErrorGroups
	if err := absent(c.call(ctx, http.MethodGet, "/errors", nil, &all)); err != nil {
		return nil, err
	}
	of := map[wire.HostID][]rollout.JError{}
	for _, g := range all.Groups {
		of[g.Host] = append(of[g.Host], rollout.JError{Fingerprint: g.Fingerprint, Component: g.Component, Kind: g.Kind, Version: g.Version,
			Message: g.Message, Count: g.Count, Last: g.Last})
	}
	return of, nil
}

// closely fills in what is known of one host. That a host is gone meanwhile is no error.
func (c *Client) closely(ctx context.Context, h *rollout.Host, drain wire.OperationID) (err error) {
	if h.Nodes, err = items[operator.Node](ctx, c, "/nodes", url.Values{"host": {string(h.ID)}, "limit": {"1000"}}); err != nil {
		return err
	}
	h.Asked = true
	var s operator.HostSystem
	switch err := c.call(ctx, http.MethodGet, of(h.ID)+"/system", nil, &s); {
	case err == nil:
		h.System = systemOf(s)
	case !Final(err):
		return err
	}
	switch drain {
	case "":
		return nil
	case noDrain:
		h.Drain = &operator.Operation{ID: drain, State: operator.OpDone}
		return nil
	}
	var op operator.Operation
	switch err := c.call(ctx, http.MethodGet, "/operations/"+url.PathEscape(string(drain)), nil, &op); {
	case err == nil:
		h.Drain = &op
	case is(err, operator.NotFound): // it ended long ago
		h.Drain = &operator.Operation{ID: drain, State: operator.OpDone}
	default:
		return err
	}
	return nil
}

// systemOf is a host's system as rollouts see it; nil: the host said nothing.
func systemOf(s operator.HostSystem) *rollout.System {
	if s.Status == nil {
		return nil
	}
	out := &rollout.System{Runs: s.Status.Release, Hot: s.Status.Hot,
		Slot: string(s.Status.Slot), State: string(s.Status.State), Target: s.Status.Target, Reason: s.Status.Reason,
		Waits: s.Status.Waits, Bytes: s.Status.Bytes, Total: s.Status.Total}
	if w := s.Wanted; w != nil {
		out.Wanted, out.Step, out.WantedAt, out.Took = w.Release, w.Step, w.At, w.Order == s.Status.Order
	}
	return out
}

func of(h wire.HostID) string { return "/hosts/" + url.PathEscape(string(h)) }
