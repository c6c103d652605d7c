// Program jls is the licence server: it makes licences, activates installations and counts their hosts.
//
// Owns: the commands and their flags.
// In: flags; the key directory; requests on port 7446.
// Out: licences, leases, lists; data on stdout, talk on stderr; exit status 0, 1 (failed) or 2 (usage).
// Never: needs the licence root's private key while it serves.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"hardnode.dev/internal/build"
	"hardnode.dev/internal/run"
	"hardnode.dev/internal/wire/jls"
	"hardnode.dev/jls/keys"
)

func main() {
	ctx, stop := run.UntilSignal(context.Background())
	err := command().ExecuteContext(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "jls: "+err.Error())
		var u usage
		if text := err.Error(); errors.As(err, &u) || strings.HasPrefix(text, "unknown command") ||
			strings.HasPrefix(text, "required flag") {
			os.Exit(2)
		}
		os.Exit(1)
	}
}

type usage struct{ error }

func command() *cobra.Command {
	root := &cobra.Command{Use: "jls", Short: "Hardnode's licence server", Version: build.Version, SilenceUsage: true, SilenceErrors: true}
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usage{err} })
	root.CompletionOptions.DisableDefaultCmd = true
	licence := &cobra.Command{Use: "licence", Short: "Licences, offline"}
	licence.AddCommand(issueCommand())
	key := &cobra.Command{Use: "key", Short: "Keys, offline"}
	key.AddCommand(renewCommand())
	root.AddCommand(initCommand(), licence, key, directorCommands(), serveCommand())
	return root
}

func initCommand() *cobra.Command {
	var dir string
	c := &cobra.Command{Use: "init --dir DIR", Short: "Make the licence root key, a signing key, the server's key and the admin token",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			made, err := keys.Init(dir, time.Now())
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.ErrOrStderr(), initTalk, dir, keys.RootKeyFile, keys.RootPublicFile, made.RootID, keys.ConfigFile,
				made.Until.Format(time.DateOnly), keys.TokenFile, keys.PinFile, dir)
			fmt.Fprintln(cmd.OutOrStdout(), made.Pin)
			return nil
		}}
	c.Flags().StringVar(&dir, "dir", "", "directory to make; must be empty or absent")
	c.MarkFlagRequired("dir")
	return c
}

const initTalk = `made in %s:
  %s  the root of all licences: take it away, keep it safe, bring it back once a year
  %s          its public half (%s): hnctl cluster init --licence-root-key
  %s                  the server's configuration and keys: jls serve --config; the signing key is good until %s
  %s               the administrator's token, for hnctl jls
  %s                       the server's pin, also printed below: hnctl cluster init --jls-pin
next: jls licence issue --dir %s --customer NAME --hosts N --days N
`

func issueCommand() *cobra.Command {
	var dir, customer, out string
	var hosts, days int
	c := &cobra.Command{Use: "issue --dir DIR --customer NAME --hosts N --days N", Short: "Sign a licence and print its token",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return issueLicence(cmd, dir, out, keys.Sold{Customer: customer, Hosts: hosts, For: time.Duration(days) * 24 * time.Hour})
		}}
	c.Flags().StringVar(&dir, "dir", "", "key directory, from jls init")
	c.Flags().StringVar(&customer, "customer", "", "who the licence is for")
	c.Flags().IntVar(&hosts, "hosts", 0, "user hosts it allows")
	c.Flags().IntVar(&days, "days", 365, "how long it lasts")
	c.Flags().StringVarP(&out, "out", "o", "", "file to write the token to instead of stdout")
	for _, f := range []string{"dir", "customer", "hosts"} {
		c.MarkFlagRequired(f)
	}
	return c
}

func renewCommand() *cobra.Command {
	var dir string
	c := &cobra.Command{Use: "renew --dir DIR", Short: "Make the next yearly signing key with the offline root key", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return renewKey(cmd, dir) }}
	c.Flags().StringVar(&dir, "dir", "", "key directory, with offline/ brought back")
	c.MarkFlagRequired("dir")
	return c
}

func serveCommand() *cobra.Command {
	s := serving{}
	c := &cobra.Command{Use: "serve", Short: "Answer installations and the administrator", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return s.run(cmd.Context()) }}
	c.Flags().StringVar(&s.data, "data", "/data", "directory of the database")
	c.Flags().StringVar(&s.config, "config", jls.ConfigFile, "configuration, from jls init")
	c.Flags().StringVar(&s.listen, "listen", ":7446", "address to listen on")
	return c
}
