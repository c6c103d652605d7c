// Command netboot boots machines over the network, beside a site's own DHCP server that it leaves as it is, or where there is none.
//
// Owns: the answers at the sockets of DHCP (67) and boot server (4011) on one network card, TFTP (69), HTTP.
// In: as a component of jelastic, sockets that the agent opened and what the orchestrator says is served; run by hand, the tree that
// make pxe made, with a hardnode.yaml for the hosts.
// Out: which file to load, and the files, to machines that ask how to boot; a line in the log for each that it answers or does not.
// Never: gives addresses where another DHCP server answers, answers a card that it is not for, or has a secret: what it serves anybody on
// the network may read.
package main

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"hardnode.dev/internal/build"
	"hardnode.dev/internal/identity"
	"hardnode.dev/internal/logging"
	"hardnode.dev/internal/run"
	"hardnode.dev/internal/wire/boot"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/orchestrator/netboot/trouble"
)

// options are the flags.
type options struct {
	tree, card, only               string
	http                           int
	gives, router, dns, leases     string
	config, data, socket, firmware string
	log                            *slog.Logger
}

func main() {
	var o options
	version := flag.Bool("version", false, "print the version and end")
	flag.StringVar(&o.tree, "tree", "out/media/pxe", "`folder` that make pxe made, with hardnode.yaml in it")
	flag.StringVar(&o.card, "interface", "", "network `card` on whose network machines boot; needed")
	flag.StringVar(&o.only, "for", "", "MACs of the machines that are answered, with commas between them, or all; needed")
	flag.IntVar(&o.http, "http-port", 80, "`port` of the HTTP server")
	flag.StringVar(&o.gives, "dhcp-range", "", "`addresses` given out where no other DHCP server answers, as 10.77.0.100-10.77.0.150/24")
	flag.StringVar(&o.router, "dhcp-router", "", "`address` of the router that machines are told with theirs")
	flag.StringVar(&o.dns, "dhcp-dns", "", "`addresses` of the resolvers that they are told, with commas between them")
	flag.StringVar(&o.leases, "leases", "netboot-leases.json", "`file` of the addresses that are out")
	flag.StringVar(&o.config, "config", boot.NetbootConfigFile, "as a component: configuration, JSON")
	flag.StringVar(&o.data, "data", "/data", "as a component: `folder` of the files that are served")
	flag.StringVar(&o.socket, "identity", identity.ComponentSocket, "as a component: the agent's socket that gives certificates")
	flag.StringVar(&o.firmware, "firmware", "/firmware", "as a component: `folder` of what firmware loads")
	flag.Parse()
	if *version {
		fmt.Println(build.Version)
		return
	}
	o.log = logging.New(os.Stderr, "netboot", slog.LevelInfo)
	ctx, stop := run.UntilSignal(context.Background())
	defer stop()
	if err := serve(ctx, o); err != nil {
		o.log.Error("netboot ends", logging.Err, err)
		os.Exit(1)
	}
}

// serve serves until ctx ends: as a component where sockets were handed to it, else from sockets of its own.
func serve(ctx context.Context, o options) error {
	s, handed, err := handed()
	if err != nil {
		return err
	}
	if handed {
		return component(ctx, o, s)
	}
	return byHand(ctx, o)
}

// byHand serves a tree to the cards that the flags name.
func byHand(ctx context.Context, o options) error {
	only, err := cards(o.only)
	if err != nil {
		return err
	}
	network, err := networkOf(o.card)
	if err != nil {
		return err
	}
	of, err := host.ParseGiven(o.gives, o.router, strings.FieldsFunc(o.dns, func(r rune) bool { return r == ',' }))
	if err != nil {
		return fmt.Errorf("-dhcp-range, -dhcp-router, -dhcp-dns: %w", err)
	}
	files, err := firmware(o.tree)
	if err != nil {
		return fmt.Errorf("-tree %q: %w; make pxe makes it", o.tree, err)
	}
	lead := boots(only)
	giver, err := giver(o.leases, func(card string) string { _, why := lead(card); return why })
	if err != nil {
		return err
	}
	s, err := opened(o.card, o.http)
	if err != nil {
		return err
	}
	o.log.Info("serving", "card", o.card, logging.Addr, s.url(network.Addr()), "tree", filepath.Clean(o.tree), "for", o.only,
		"addresses", of)
	return run.Group(ctx, o.log, s.tasks(o.log, content{boots: lead, firmware: files, files: tree(o.tree), giver: giver,
		gives: func() host.Given { return of }, troubles: &trouble.Book{Log: o.log, Now: time.Now}})...)
}
