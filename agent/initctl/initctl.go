// Package initctl asks init, PID 1 of this host, to leave the machine, or to replace programs while it runs.
//
// Owns: the calls of init's socket.
// In: the path of the socket; what is wanted, by whom, and why.
// Out: nil once init has begun; the containers are stopped by what it does to leave.
// Never: decides whether the machine may be left or a program replaced, or does it another way when init does not answer.
package initctl

import (
	"context"
	"fmt"
	"time"

	"hardnode.dev/internal/run/ask"
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
	body := map[string]string{"reason": reason, "by": order.By}
	if err := ask.To("init", socket).Post(ctx, "/v1/"+order.What(), body, nil); err != nil {
		return fmt.Errorf("ask init on %q to leave: %v", socket, err)
	}
	return nil
}
