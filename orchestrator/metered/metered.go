// Package metered is the orchestrator's way to the component metering.
//
// Owns: where metering is, and how it is asked: mutual TLS, both sides by their components' certificates.
// In: what people asked, once it was seen to that they may know the answer.
// Out: metering's answer, or a Problem: its own, or that there is none or that it does not answer.
// Never: decides who may see what.
package metered

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
	"hardnode.dev/internal/wire/metering"
	"hardnode.dev/internal/wire/neighbour"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/orchestrator/env"
	"hardnode.dev/orchestrator/store"
)

// Limits of one question.
const (
	callLimit = 70 * time.Second
	dialLimit = 3 * time.Second
	maxAnswer = 64 << 20
)

// Desk asks metering. Make it with New.
type Desk struct {
	view func() *store.View
	http *http.Client
}

// New is a desk of the cluster whose components view has.
func New(view func() *store.View, t identity.Trust, self *identity.Holder) *Desk {
	return &Desk{view: view, http: &http.Client{Timeout: callLimit, Transport: &http.Transport{
		TLSClientConfig: identity.ClientTLS(t, identity.WantComponent(metering.Component), self), TLSHandshakeTimeout: dialLimit,
		DialContext: (&net.Dialer{Timeout: dialLimit}).DialContext, IdleConnTimeout: 30 * time.Second}}}
}

// Use answers what was used.
func (d *Desk) Use(ctx context.Context, q metering.Question) (out operator.Usage, err error) {
	for n := range store.NodesOf.Of(d.view(), string(env.System)) {
		if n.Container.Component == metering.Component && !n.Gone {
			return d.ask(ctx, "https://"+net.JoinHostPort(n.Container.IPv4.String(), metering.Port)+metering.PathUsage, q)
		}
	}
	return out, operator.NewProblem(operator.NotFound, metering.Component, "this cluster keeps no account of what is used",
		"those who run it give it the component metering: hnctl usage enable; hosts have the last 35 days: hnctl node usage NODE")
}

func (d *Desk) ask(ctx context.Context, at string, q metering.Question) (out operator.Usage, err error) {
	raw, err := json.Marshal(q)
	if err != nil {
		return out, fmt.Errorf("ask metering: %v", err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, at, bytes.NewReader(raw))
	if err != nil {
		return out, fmt.Errorf("ask metering: %v", err)
	}
	resp, err := d.http.Do(req)
	if err != nil {
		return out, away(err)
	}
	defer resp.Body.Close()
	if raw, err = io.ReadAll(io.LimitReader(resp.Body, maxAnswer)); err != nil {
		return out, away(err)
	}
	if resp.StatusCode != http.StatusOK {
		var p operator.Problem
		if json.Unmarshal(raw, &p) != nil || p.Code == "" {
			return out, away(errors.New(resp.Status))
		}
		return out, operator.NewProblem(p.Code.Known(), p.Object, p.Reason, p.Next)
	}
	if err := neighbour.Decode(raw, &out); err != nil {
		return out, fmt.Errorf("read metering's answer: %v", err)
	}
	return out, nil
}

// away is that metering can't be asked now.
func away(err error) *operator.Problem {
	return operator.NewProblem(operator.Unavailable, metering.Component, fmt.Sprintf("metering does not answer: %v", err),
		"wait a moment; nothing is lost meanwhile: hosts keep what they count for 35 days. See hnctl node logs metering")
}
