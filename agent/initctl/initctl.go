// Package initctl asks init, PID 1 of this host, to leave the machine.
//
// Owns: the call of init's socket that leaves.
// In: the path of the socket; who wants it, and why.
// Out: nil once init has begun; the containers are stopped by what it does then.
// Never: decides whether the machine may be left, or leaves it another way when init does not answer.
package initctl

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"hardnode.dev/internal/wire/upkeep"
)

// patience is how long init may take to answer: it answers before it begins.
const patience = 5 * time.Second

// noReason is what init is told when who ordered it gave no reason.
const noReason = "no reason given"

// Leave has init end this machine in order.
func Leave(ctx context.Context, socket string, order upkeep.Leave) error {
	if err := order.Validate(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	reason := order.Reason
	if reason == "" {
		reason = noReason
	}
	body, err := json.Marshal(map[string]string{"reason": reason, "by": order.By})
	if err != nil {
		return fmt.Errorf("ask init to leave: %v", err)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", socket)
		}}}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://init/v1/"+order.What(), bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("ask init to leave: %v", err)
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := client.Do(req)
	if err != nil {
		return fmt.Errorf("ask init on %q to leave: %v", socket, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusAccepted {
		var p struct{ Detail string }
		raw, _ := io.ReadAll(io.LimitReader(resp.Body, 4<<10))
		json.Unmarshal(raw, &p) // without one, the status says what there is to say
		return fmt.Errorf("ask init to leave: %s %s", resp.Status, p.Detail)
	}
	return nil
}
