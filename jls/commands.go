package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
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
	fmt.Fprintf(cmd.ErrOrStderr(), "licence %s for %s: %d hosts until %s\n", lic.ID, lic.Customer, lic.Hosts, lic.Expires.Format(time.DateOnly))
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
	fmt.Fprintf(cmd.ErrOrStderr(), "new signing key, good until %s; restart the server with the new %s, take offline/ away again\n", until.Format(time.DateOnly), keys.ConfigFile)
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
	api := &server.Server{Ledger: led, Signer: signer, Root: cfg.Root, AdminToken: cfg.AdminToken, Log: log}
	l, err := net.Listen("tcp", s.listen)
	if err != nil {
		return fmt.Errorf("listen: %v", err)
	}
	srv := &http.Server{
		Handler: api.Handler(), ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug),
		TLSConfig:         &tls.Config{MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{cert}},
		ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 20 * time.Second, WriteTimeout: 20 * time.Second, IdleTimeout: 30 * time.Second, MaxHeaderBytes: 8 << 10,
	}
	log.Info("serving", logging.Addr, l.Addr(), "pin", identity.Pin(cert.Leaf), "version", build.Version)
	return run.Group(ctx, log, run.Task{Name: "https", Run: func(ctx context.Context) error { return serve(ctx, srv, l) }})
}

// serve answers until ctx ends, then lets running requests finish for five seconds.
func serve(ctx context.Context, srv *http.Server, l net.Listener) error {
	done := make(chan error, 1)
	go func() {
		<-ctx.Done()
		stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		done <- srv.Shutdown(stop)
	}()
	if err := srv.ServeTLS(l, "", ""); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve: %w", err)
	}
	return <-done
}
