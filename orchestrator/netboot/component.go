package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"hardnode.dev/internal/build"
	"hardnode.dev/internal/identity"
	"hardnode.dev/internal/run"
	"hardnode.dev/internal/wire/boot"
	"hardnode.dev/orchestrator/netboot/feed"
	"hardnode.dev/orchestrator/netboot/offer"
	"hardnode.dev/orchestrator/netboot/trouble"
)

// component serves what the orchestrator says, from sockets that the agent opened.
func component(ctx context.Context, o options, s sockets) error {
	raw, err := os.ReadFile(o.config)
	if err != nil {
		return fmt.Errorf("read configuration: %v", err)
	}
	config, err := boot.DecodeNetbootConfig(raw)
	if err != nil {
		return err
	}
	files, err := firmware(o.firmware)
	if err != nil {
		return err
	}
	trust, self := identity.Trust{Pin: config.CAPin, Cluster: config.Cluster}, &identity.Holder{}
	book, err := offer.Open(o.data, files)
	if err != nil {
		return err
	}
	giver, err := giver(filepath.Join(o.data, "leases.json"), book.Answers)
	if err != nil {
		return err
	}
	troubles := &trouble.Book{Log: o.log, Now: time.Now}
	f := &feed.Feed{Troubles: troubles.List,
		Book: book, Orchestrator: config.Orchestrator, Self: self, Log: o.log,
		Client: &http.Client{Transport: &http.Transport{
			TLSClientConfig:     identity.ClientTLS(trust, identity.WantComponent("orchestrator"), self),
			TLSHandshakeTimeout: 5 * time.Second, IdleConnTimeout: time.Minute,
			DialContext: (&net.Dialer{Timeout: 5 * time.Second, KeepAlive: 10 * time.Second}).DialContext}}}
	o.log.Info("serving", "version", build.Version)
	return run.Group(ctx, o.log, append(s.tasks(o.log, content{boots: book.Boots, firmware: files, files: book, giver: giver,
		gives: book.Gives, troubles: troubles}),
		run.Task{Name: "certificate", Run: func(ctx context.Context) error {
			return identity.KeepComponent(ctx, o.log, o.socket, trust, self)
		}},
		run.Task{Name: "orchestrator", Run: f.Run}, run.Task{Name: "report", Run: f.Report})...)
}
