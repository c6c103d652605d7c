package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"time"

	"hardnode.dev/agent/facts"
	"hardnode.dev/agent/hostlog"
	"hardnode.dev/agent/support"
	"hardnode.dev/internal/build"
	"hardnode.dev/internal/wire/boot"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/upkeep"
)

// show writes a document of this host.
func (a *agent) show(ctx context.Context, what upkeep.Show, w io.Writer) error {
	return document(ctx, a.support(), what, w)
}

// document writes a document of what s knows.
func document(ctx context.Context, s support.Source, what upkeep.Show, w io.Writer) error {
	switch what {
	case upkeep.ShowSupport:
		return s.Write(ctx, w)
	case upkeep.ShowConfig:
		raw, err := s.Configuration(ctx)
		if err != nil {
			return err
		}
		_, err = w.Write(raw)
		return err
	}
	return fmt.Errorf("there is no document %q here; update this host's release", what)
}

// gossipView is what this host sees of the others.
type gossipView struct {
	Dead  []host.GossipView `json:"dead"`
	Keys  host.GossipKeyIDs `json:"keys"`
	Boots []upkeep.Boot     `json:"boots"`
	Peers int               `json:"peers"`
}

func (a *agent) support() support.Source {
	return support.Source{Version: build.Version, Logs: hostlog.Logs{}.Read, Ask: facts.Ask, Now: time.Now, Config: a.configInForce,
		Status:  func(ctx context.Context) any { return a.status(ctx) },
		Machine: func() any { return a.machine() },
		Gossip: func() any {
			v := gossipView{Dead: a.gossip.Dead(), Keys: a.gossip.Keys(), Boots: a.facts.Boots()}
			if p := a.store.Peers(); p != nil {
				v.Peers = len(p.Hosts)
			}
			return v
		},
		Secrets: func() (all []string) {
			p := a.store.Peers()
			if p == nil {
				return nil
			}
			for _, k := range append(p.Gossip.Accept, p.Gossip.Use) {
				all = append(all, support.Written(k.Reveal())...)
			}
			return all
		}}
}

// configInForce is the configuration of this boot, and where netd found it.
func (a *agent) configInForce() (c boot.HostConfig, source string, found bool, err error) {
	raw, err := os.ReadFile(a.config)
	if errors.Is(err, fs.ErrNotExist) {
		return c, "", false, nil
	}
	if err == nil {
		err = json.Unmarshal(raw, &c)
	}
	if err != nil {
		return c, "", false, fmt.Errorf("read the configuration: %v", err)
	}
	text, err := os.ReadFile(boot.ConfigSourceFile)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return c, "", false, fmt.Errorf("read where the configuration was found: %v", err)
	}
	return c, strings.TrimSpace(string(text)), true, nil
}
