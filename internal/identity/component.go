package identity

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"time"

	"hardnode.dev/internal/logging"
	"hardnode.dev/internal/run"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/neighbour"
)

// ComponentSocket is where a component's container finds its agent.
const ComponentSocket = "/run/hardnode/identity.sock"

// CertificatePath is what the agent answers on ComponentSocket: POST ComponentCSR → host.RenewReply.
const CertificatePath = "/v1/certificate"

// ComponentCSR asks the agent for a certificate; the socket says which container asks.
type ComponentCSR struct {
	CSR []byte `json:"csr"`
}

// KeepComponent keeps holder filled with this component's credential: asks the agent until answered, then again at half life, until ctx
// ends.
func KeepComponent(ctx context.Context, log *slog.Logger, socket string, t Trust, holder *Holder) error {
	log = logging.Or(log)
	key, err := NewKey()
	if err != nil {
		return err
	}
	client := &http.Client{Timeout: 10 * time.Second,
		Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", socket)
		}}}
	for failures := 0; ; {
		c, err := askCertificate(ctx, client, key, t)
		wait := time.Duration(0)
		if err != nil {
			if failures == 0 {
				log.Info("waiting for a certificate", logging.Reason, err)
			}
			wait = run.Backoff(failures, 250*time.Millisecond, 5*time.Second, rand.Float64())
			failures++
		} else {
			failures = 0
			holder.Set(c)
			log.Info("certificate in force", "peer", c.Peer().String(), "until", c.Expires())
			wait = max(time.Until(c.RenewAt()), time.Second)
		}
		if !run.Wait(ctx, wait) {
			return nil
		}
	}
}

func askCertificate(ctx context.Context, client *http.Client, key []byte, t Trust) (*Credential, error) {
	csr, err := CSR(key)
	if err != nil {
		return nil, err
	}
	body, err := json.Marshal(ComponentCSR{CSR: csr})
	if err != nil {
		return nil, fmt.Errorf("encode certificate request: %v", err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://agent"+CertificatePath, bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("ask agent for a certificate: %v", err)
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("ask agent for a certificate: %v", err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	if err != nil {
		return nil, fmt.Errorf("ask agent for a certificate: %v", err)
	}
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("ask agent for a certificate: %s: %.200s", resp.Status, raw)
	}
	var reply host.RenewReply
	if err := neighbour.Decode(raw, &reply); err != nil {
		return nil, fmt.Errorf("read the agent's answer: %v", err)
	}
	if _, err := t.check(reply.Chain, nil); err != nil {
		return nil, err
	}
	return NewCredential(key, reply.Chain)
}
