package machine

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"hardnode.dev/init/sys"
	"hardnode.dev/internal/disk"
	"hardnode.dev/internal/disk/bootorder"
	"hardnode.dev/internal/disk/efi"
	"hardnode.dev/internal/keep"
	"hardnode.dev/internal/run"
	"hardnode.dev/internal/wire/boot"
	"hardnode.dev/internal/wire/slots"
)

// trialGrace is how long after its deadline a slot on trial may be left to the agent, which sends the host back itself, with its reason.
const trialGrace = 30 * time.Second

// stepTrial sees to it that a system on trial whose agent never comes up goes back too. It comes before the agent, whose document this is.
func (m *Machine) stepTrial(context.Context) (string, error) {
	vars := efi.Vars{Dir: efi.Dir}
	slot := disk.BootedSlot(vars, "/")
	if slot == "" || m.rescue {
		return m.fromNetwork() // not booted from a slot that is tried
	}
	record, _, err := keep.Doc[bootorder.Record]{Path: boot.SlotsFile, Version: 1}.Load()
	if err != nil {
		return "", err
	}
	within := trialOf(record, slot, m.bootID)
	if within == 0 {
		return fmt.Sprintf("slot %s", slot), nil
	}
	return m.tries(fmt.Sprintf("slot %s", slot), within, within+trialGrace), nil
}

// fromNetwork is for a system that was served to be tried: there is nobody else who would leave it.
func (m *Machine) fromNetwork() (string, error) {
	cmdline, err := os.ReadFile("/proc/cmdline")
	if err != nil {
		return "", err
	}
	within := served(string(cmdline))
	if within == 0 {
		return "", nil
	}
	return m.tries("the system from the network", within, within), nil
}

// tries has the machine left after a time unless the agent has said that it is well.
func (m *Machine) tries(what string, within, after time.Duration) string {
	m.tasks <- run.Task{Name: "trial", Run: func(ctx context.Context) error {
		if !run.Wait(ctx, after-sys.Uptime()) {
			return nil
		}
		if _, err := os.Stat(boot.SettledFile); err != nil {
			m.Ask(Leave{Reason: fmt.Sprintf("%s: its agent did not say within %s that it is well", what, within)})
		}
		return nil
	}}
	return fmt.Sprintf("%s is tried: it must be well %s after the kernel's start", what, within)
}

// served is how long the kernel's arguments give a system from the network to be well; 0: it is not on trial.
func served(cmdline string) time.Duration {
	for word := range strings.FieldsSeq(cmdline) {
		if text, ok := strings.CutPrefix(word, boot.TrialArgument); ok {
			if n, err := strconv.ParseUint(text, 10, 16); err == nil {
				return time.Duration(n) * time.Second
			}
		}
	}
	return 0
}

// trialOf is how long the booted slot has to be well; 0 when it is not on trial.
func trialOf(r bootorder.Record, booted slots.Name, bootID string) time.Duration {
	if t := r.Trial; t != nil && t.Slot == booted && t.Boot != bootID {
		return time.Duration(t.Within) * time.Second
	}
	return 0
}
