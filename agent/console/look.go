package main

import (
	"context"
	"encoding/json"
	"os"
	"strings"

	"hardnode.dev/agent/facts"
	"hardnode.dev/internal/wire/boot"
)

// look asks the agent and init; either may be nil.
func look(ctx context.Context) (a *boot.AgentStatus, i *boot.Status) {
	a, i = ask[boot.AgentStatus](ctx, boot.AgentSocket), ask[boot.Status](ctx, boot.InitSocket)
	if a != nil && a.Stage == boot.StageUnconfigured {
		if c := config(); c != nil {
			configured(a, c.Name)
		}
	}
	return a, i
}

func ask[T any](ctx context.Context, socket string) *T {
	raw, err := facts.Ask(ctx, socket, "/v1/status")
	if err != nil {
		return nil
	}
	v := new(T)
	if json.Unmarshal(raw, v) != nil {
		return nil
	}
	return v
}

// config is the host's configuration, nil while there is none.
func config() *boot.HostConfig {
	raw, err := os.ReadFile(boot.ConfigFile)
	if err != nil {
		return nil
	}
	c := new(boot.HostConfig)
	if json.Unmarshal(raw, c) != nil {
		return nil
	}
	return c
}

// wanted are the terminals of the configuration; without any, the kernel's own consoles.
func wanted() []string {
	if c := config(); c != nil && len(c.Console.TTYs) > 0 {
		return c.Console.TTYs
	}
	raw, err := os.ReadFile("/sys/class/tty/console/active")
	if err != nil {
		return nil
	}
	return strings.Fields(string(raw))
}
