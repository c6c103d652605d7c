package pull

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
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/metering"
	"hardnode.dev/internal/wire/neighbour"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/internal/wire/usage"
)

// maxAnswer is the longest answer, in bytes.
const maxAnswer = 16 << 20

// Orchestrator is the hosts' records as the orchestrator brings them: it holds a stream to each host, and hosts listen for nobody. Metering
// is known there by its certificate, and may ask this and nothing else.
type Orchestrator struct {
	addresses []string // host:port of the host API, tried in order
	http      *http.Client
}

// From asks the orchestrator at these addresses of its host API.
func From(addresses []string, t identity.Trust, self *identity.Holder) *Orchestrator {
	return &Orchestrator{addresses: addresses, http: &http.Client{Timeout: answerLimit, Transport: &http.Transport{
		TLSClientConfig: identity.ClientTLS(t, identity.WantComponent("orchestrator"), self), TLSHandshakeTimeout: 5 * time.Second,
		DialContext: (&net.Dialer{Timeout: 5 * time.Second}).DialContext, IdleConnTimeout: time.Minute, MaxIdleConnsPerHost: atOnce}}}
}

// Hosts are those of the cluster.
func (o *Orchestrator) Hosts(ctx context.Context) ([]metering.Host, error) {
	var out metering.Hosts
	err := o.ask(ctx, http.MethodGet, metering.PathHosts, nil, &out)
	return out.Hosts, err
}

// Usage is a host's answer.
func (o *Orchestrator) Usage(ctx context.Context, id wire.HostID, a usage.Ask) (out usage.Answer, err error) {
	raw, err := json.Marshal(a)
	if err != nil {
		return out, err
	}
	return out, o.ask(ctx, http.MethodPost, metering.PathHosts+"/"+string(id), raw, &out)
}

// ask asks the addresses in order until one is there.
func (o *Orchestrator) ask(ctx context.Context, method, path string, body []byte, out any) (err error) {
	for _, addr := range o.addresses {
		var there bool
		if there, err = o.at(ctx, method, "https://"+addr+path, body, out); there {
			return err
		}
	}
	return err
}

func (o *Orchestrator) at(ctx context.Context, method, at string, body []byte, out any) (there bool, err error) {
	req, err := http.NewRequestWithContext(ctx, method, at, bytes.NewReader(body))
	if err != nil {
		return true, err
	}
	req.Header.Set(host.ProtocolHeader, host.Spoken.String())
	resp, err := o.http.Do(req)
	if err != nil {
		return false, err
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return true, fmt.Errorf("%s %s: %w", method, at, err)
	}
	if resp.StatusCode != http.StatusOK {
		var p operator.Problem
		if json.Unmarshal(raw, &p) == nil && p.Reason != "" {
			return true, errors.New(p.Reason)
		}
		return true, fmt.Errorf("%s %s: the orchestrator answers %s", method, at, resp.Status)
	}
	return true, neighbour.Decode(raw, out)
}
