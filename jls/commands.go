package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"runtime/debug"
	"time"

	"github.com/spf13/cobra"

	"hardnode.dev/internal/build"
	"hardnode.dev/internal/identity"
	"hardnode.dev/internal/keep"
	"hardnode.dev/internal/logging"
	"hardnode.dev/internal/run"
	"hardnode.dev/internal/run/listen"
	"hardnode.dev/internal/wire"
	"hardnode.dev/jls/keys"
	"hardnode.dev/jls/ledger"
	"hardnode.dev/jls/server"
)

func issueLicence(cmd *cobra.Command, dir, out string, sold keys.Sold) error {
	cfg, err := keys.Load(dir)
	if err != nil {
		return err
	}
	now := time.Now()
	signer, err := keys.Signer(cfg, now)
	if err != nil {
		return err
	}
	token, lic, err := keys.Issue(signer, sold, now)
	if err != nil {
		return err
	}
	fmt.Fprintf(cmd.ErrOrStderr(), "licence %s for %s: %d hosts until %s\n", lic.ID, lic.Customer, lic.Hosts,
		lic.Expires.Format(time.DateOnly))
	if out != "" {
		return keep.WriteFile(out, []byte(token+"\n"), 0o600)
	}
	fmt.Fprintln(cmd.OutOrStdout(), token)
	return nil
}

func renewKey(cmd *cobra.Command, dir string) error {
	until, err := keys.Renew(dir, time.Now())
	if err != nil {
		return err
	}
	fmt.Fprintf(cmd.ErrOrStderr(), "new signing key, good until %s; restart the server with the new %s, take offline/ away again\n",
		until.Format(time.DateOnly), keys.ConfigFile)
	return nil
}

func directorCommands() *cobra.Command {
	c := &cobra.Command{Use: "director", Short: "The director's keys, offline: who shall run which release"}
	c.AddCommand(directorCommand("init", "Make the director's first root and key, and print its pin", keys.InitDirector),
		directorCommand("renew", "Make the director's next root and key with the offline root key", keys.RenewDirector))
	return c
}

func directorCommand(verb, short string, do func(string, time.Time) (wire.Digest, error)) *cobra.Command {
	var dir string
	c := &cobra.Command{Use: verb + " --dir DIR", Short: short, Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return direct(cmd, dir, do) }}
	c.Flags().StringVar(&dir, "dir", "", "key directory, from jls init")
	c.MarkFlagRequired("dir")
	return c
}

// direct makes or renews the director, and prints its pin.
func direct(cmd *cobra.Command, dir string, do func(string, time.Time) (wire.Digest, error)) error {
	pin, err := do(dir, time.Now())
	if err != nil {
		return err
	}
	fmt.Fprintf(cmd.ErrOrStderr(), "restart the server with the new %s; take %s away\n", keys.ConfigFile, keys.DirectorKeyFile)
	fmt.Fprintln(cmd.OutOrStdout(), pin)
	return nil
}

// serving is the server's flags.
type serving struct{ data, config, listen string }

// memoryLimit keeps the server small; it may exceed it when it must (debug.SetMemoryLimit is soft). In bytes.
const memoryLimit = 48 << 20

func (s serving) run(ctx context.Context) error {
	debug.SetMemoryLimit(memoryLimit)
	log := logging.New(os.Stderr, "jls", slog.LevelInfo)
	cfg, err := keys.LoadConfig(s.config)
	if err != nil {
		return err
	}
	signer, err := keys.Signer(cfg, time.Now())
	if err != nil {
		return err
	}
	cert, err := keys.Certificate(cfg, time.Now())
	if err != nil {
		return err
	}
	led, err := ledger.Open(ctx, filepath.Join(s.data, "jls.db"))
	if err != nil {
		return err
	}
	defer led.Close()
	api := &server.Server{Ledger: led, Signer: signer, Root: cfg.Root, AdminToken: cfg.AdminToken, Director: cfg.Director,
		Log: log}
	l, err := net.Listen("tcp", s.listen)
	if err != nil {
		return fmt.Errorf("listen: %v", err)
	}
	conf := &tls.Config{MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{cert}}
	limits := listen.Limits{Header: 5 * time.Second, HeaderBytes: 8 << 10, Idle: 30 * time.Second, Answer: 20 * time.Second}
	log.Info("serving", logging.Addr, l.Addr(), "pin", identity.Pin(cert.Leaf), "version", build.Version)
	return run.Group(ctx, log, run.Task{Name: "https", Run: listen.HTTP(l, conf, api.Handler(), limits, log)})
}
