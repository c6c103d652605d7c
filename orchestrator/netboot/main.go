// Command netboot boots machines over the network, beside a site's own DHCP server that it leaves as it is.
//
// Owns: the sockets: DHCP (67) and boot server (4011) on one network card, TFTP (69), HTTP.
// In: the tree that make pxe made, with a hardnode.yaml for the hosts.
// Out: which file to load, and the files, to machines that ask how to boot; a line in the log for each that it answers or does not.
// Never: gives addresses, answers a card that it is not for, or has a secret: what it serves anybody on the network may read.
package main

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"net/netip"
	"os"

	"hardnode.dev/internal/build"
	"hardnode.dev/internal/logging"
	"hardnode.dev/internal/run"
	"hardnode.dev/orchestrator/netboot/answer"
)

// options are the flags.
type options struct {
	tree, card, only string
	http             int
	log              *slog.Logger
}

func main() {
	var o options
	version := flag.Bool("version", false, "print the version and end")
	flag.StringVar(&o.tree, "tree", "out/media/pxe", "`folder` that make pxe made, with hardnode.yaml in it")
	flag.StringVar(&o.card, "interface", "", "network `card` on whose network machines boot; needed")
	flag.StringVar(&o.only, "for", "", "MACs of the machines that are answered, with commas between them, or all; needed")
	flag.IntVar(&o.http, "http-port", 80, "`port` of the HTTP server")
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

// serve opens the sockets and serves until ctx ends.
func serve(ctx context.Context, o options) error {
	only, err := cards(o.only)
	if err != nil {
		return err
	}
	network, err := networkOf(o.card)
	if err != nil {
		return err
	}
	files, err := firmware(o.tree)
	if err != nil {
		return err
	}
	base := "http://" + netip.AddrPortFrom(network.Addr(), uint16(o.http)).String() + "/"
	if o.http == 80 { // what firmware reads best
		base = "http://" + network.Addr().String() + "/"
	}
	served := answer.Served{Addr: network.Addr(), HTTP: base, For: only}
	var tasks []run.Task
	for _, open := range []func() (run.Task, error){
		func() (run.Task, error) { return bootTask(o, served, answer.PortDHCP) },
		func() (run.Task, error) { return bootTask(o, served, answer.PortBoot) },
		func() (run.Task, error) { return tftpTask(o, network, files) },
		func() (run.Task, error) { return httpTask(o, network.Addr()) },
	} {
		t, err := open()
		if err != nil {
			return err
		}
		tasks = append(tasks, t)
	}
	o.log.Info("serving", "card", o.card, logging.Addr, base, "tree", o.tree, "for", o.only)
	return run.Group(ctx, o.log, tasks...)
}
