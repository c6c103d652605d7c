// Package rollouts is the orchestrator's way to the Patcher.
//
// Owns: where the Patcher is, and how it is asked: mutual TLS, both sides by their components' certificates.
// In: what people asked, once it was allowed and recorded.
// Out: the Patcher's answer, or a Problem: its own, or that there is none or that it does not answer.
// Never: decides anything of a rollout, or asks twice what may have been carried out.
package rollouts

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"hardnode.dev/internal/identity"
	"hardnode.dev/internal/wire/neighbour"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/internal/wire/patch"
	"hardnode.dev/orchestrator/env"
	"hardnode.dev/orchestrator/store"
)

// Limits of one request.
const (
	callLimit = 3 * time.Minute
	dialLimit = 3 * time.Second
	maxAnswer = 64 << 20
)

// Desk asks the Patcher. Make it with New.
type Desk struct {
	view func() *store.View
	http *http.Client
}

// New is a desk of the cluster whose components view has.
func New(view func() *store.View, t identity.Trust, self *identity.Holder) *Desk {
	return &Desk{view: view, http: &http.Client{Timeout: callLimit, Transport: &http.Transport{
		TLSClientConfig: identity.ClientTLS(t, identity.WantComponent(patch.Component), self), TLSHandshakeTimeout: dialLimit,
		DialContext: (&net.Dialer{Timeout: dialLimit}).DialContext, IdleConnTimeout: 30 * time.Second}}}
}

// where is the Patcher's address.
func (d *Desk) where() (string, *operator.Problem) {
	for n := range store.NodesOf.Of(d.view(), string(env.System)) {
		if n.Container.Component == patch.Component && !n.Gone {
			return net.JoinHostPort(n.Container.IPv4.String(), patch.Port), nil
		}
	}
	return "", operator.NewProblem(operator.NotFound, patch.Component, "this cluster has no Patcher: it was made before there was one",
		"give it one: hnctl patch enable")
}

// Call asks for path on behalf of by, and reads the answer into out. in may be nil.
func (d *Desk) Call(ctx context.Context, method, path, by string, in, out any) error {
	addr, p := d.where()
	if p != nil {
		return p
	}
	return d.ask(ctx, method, "https://"+addr+path, by, in, out)
}

func (d *Desk) ask(ctx context.Context, method, at, by string, in, out any) error {
	var body io.Reader
	if in != nil {
		raw, err := json.Marshal(in)
		if err != nil {
			return fmt.Errorf("ask the Patcher: %v", err)
		}
		body = bytes.NewReader(raw)
	}
	req, err := http.NewRequestWithContext(ctx, method, at, body)
	if err != nil {
		return fmt.Errorf("ask the Patcher: %v", err)
	}
	req.Header.Set(patch.By, by)
	resp, err := d.http.Do(req)
	if err != nil {
		return away(err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return away(err)
	}
	if resp.StatusCode >= 300 {
		var p operator.Problem
		if json.Unmarshal(raw, &p) != nil || p.Code == "" {
			return away(errors.New(resp.Status))
		}
		return operator.NewProblem(p.Code.Known(), p.Object, p.Reason, p.Next)
	}
	if err := neighbour.Decode(raw, out); err != nil {
		return fmt.Errorf("read the Patcher's answer: %v", err)
	}
	return nil
}

// away is that the Patcher can't be asked now.
func away(err error) *operator.Problem {
	return operator.NewProblem(operator.Unavailable, patch.Component, fmt.Sprintf("the Patcher does not answer: %v", err),
		"wait a moment; a rollout goes on where it was. See hnctl node logs patcher")
}
