package main

import (
	"context"
	"time"

	"hardnode.dev/internal/run"
)

// askAgain is how long a BMC's address is believed: it answers slowly, and may be given another one.
const askAgain = 10 * time.Minute

// askBMC keeps the address of the machine's BMC, or why it is not known, until ctx ends: a task of its own, since a BMC takes its time.
func (a *agent) askBMC(ctx context.Context) error {
	for {
		says := ""
		if addr, err := a.facts.BMC(); err != nil {
			says = err.Error()
		} else if addr.IsValid() {
			says = addr.String()
		}
		a.bmc.Store(&says)
		if !run.Wait(ctx, askAgain) {
			return nil
		}
	}
}
