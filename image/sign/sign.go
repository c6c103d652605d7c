// Package sign is the owner's side of the image repository: `image release keys|init|sign|timestamp|rotate|drop|
// show|secure-boot`.
//
// Owns: the commands and what they say; how long each document lasts; which files of a release become targets, and what is signed of them.
// In: flags; key files in folders that may be sticks; a release's folder; the repository's folder.
// Out: the repository's next documents and files, believed by a client's own check before they are written.
// Never: builds a release, or writes a private key in the clear.
package sign

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"hardnode.dev/internal/release/issue"
	"hardnode.dev/internal/release/issue/folder"
	"hardnode.dev/internal/release/issue/keyfile"
	"hardnode.dev/internal/release/trust"
	"hardnode.dev/internal/run/given"
	"hardnode.dev/internal/secret"
)

const (
	day = 24 * time.Hour

	mostPassphrase = 4 << 10 // bytes that a file with a passphrase may have
)

// How long documents last, in days, unless a flag says otherwise. A closed site is given metadata on a medium now and then, so that what it
// gets lasts half a year.
const (
	rootDays      = 365
	targetsDays   = 365
	snapshotDays  = 30
	timestampDays = 7
	closedDays    = 180
)

// Command is `image release` with its subcommands.
func Command() *cobra.Command {
	root := &cobra.Command{Use: "image release", Short: "The image repository: what may ever run, signed", SilenceUsage: true,
		SilenceErrors: true}
	root.CompletionOptions.DisableDefaultCmd = true
	root.AddCommand(keysCommand(), initCommand(), signCommand(), timestampCommand(), rotateCommand(), dropCommand(), showCommand(),
		secureBootCommand())
	return root
}

// Commands are the subcommands' names: the program's other arguments are not this package's.
func Commands() (names []string) {
	for _, c := range Command().Commands() {
		names = append(names, c.Name())
	}
	return names
}

// opener opens key files with passphrases that a person types, or that stand in a file.
type opener struct {
	file  string // a passphrase in its first line
	known []secret.Text
	ask   func(prompt string) (secret.Text, error)
}

func (o *opener) flag(c *cobra.Command) {
	c.Flags().StringVar(&o.file, "passphrase-file", "", "file whose first line is the keys' passphrase, instead of asking")
}

func (o *opener) passphrase(prompt string) (secret.Text, error) {
	if o.file != "" {
		raw, err := given.Read(context.Background(), o.file, mostPassphrase)
		if err != nil {
			return "", err
		}
		line, _, _ := strings.Cut(string(raw), "\n")
		return secret.Text(strings.TrimSuffix(line, "\r")), nil
	}
	if o.ask != nil {
		return o.ask(prompt)
	}
	if !term.IsTerminal(int(os.Stdin.Fd())) {
		return "", errors.New("no terminal to ask for the passphrase on: give --passphrase-file")
	}
	fmt.Fprint(os.Stderr, prompt+": ")
	raw, err := term.ReadPassword(int(os.Stdin.Fd()))
	fmt.Fprintln(os.Stderr)
	return secret.Text(raw), err
}

// fresh is a passphrase for new keys: a person types it twice.
func (o *opener) fresh() (secret.Text, error) {
	p, err := o.passphrase("new passphrase, at least 8 characters")
	if err != nil || o.file != "" {
		return p, err
	}
	again, err := o.passphrase("the same again")
	if err == nil && !again.Equal(p) {
		err = errors.New("the two passphrases differ: nothing was made")
	}
	return p, err
}

// open tries the passphrases that opened another key first.
func (o *opener) open(dir, name string) (ed25519.PrivateKey, error) {
	for _, p := range o.known {
		if k, err := keyfile.Open(dir, name, p); err == nil {
			return k, nil
		}
	}
	p, err := o.passphrase(fmt.Sprintf("passphrase of %s in %s", name, dir))
	if err != nil {
		return nil, err
	}
	k, err := keyfile.Open(dir, name, p)
	if err == nil {
		o.known = append(o.known, p)
	}
	return k, err
}

// all opens every key of a role that one of the folders holds and the root names: a key that was rotated away signs nothing.
func (o *opener) all(dirs []string, role string, named ...[]ed25519.PublicKey) (keys []ed25519.PrivateKey, err error) {
	for _, dir := range dirs {
		names, err := keyfile.Names(dir, role, false)
		if err != nil {
			return nil, err
		}
		for _, n := range names {
			pub, err := keyfile.Public(dir, n)
			if err != nil {
				return nil, err
			}
			if !slices.ContainsFunc(named, func(l []ed25519.PublicKey) bool {
				return slices.ContainsFunc(l, func(k ed25519.PublicKey) bool { return k.Equal(pub) })
			}) {
				continue
			}
			k, err := o.open(dir, n)
			if err != nil {
				return nil, err
			}
			if !pub.Equal(k.Public()) {
				return nil, fmt.Errorf("key %s in %q: its .pub is another key's; put the right one beside it", n, dir)
			}
			keys = append(keys, k)
		}
	}
	return keys, nil
}

// one is the first of all; none is an error that names the folders.
func (o *opener) one(dirs []string, role string, named []ed25519.PublicKey) (ed25519.PrivateKey, error) {
	keys, err := o.all(dirs, role, named)
	if err == nil && len(keys) == 0 {
		err = fmt.Errorf("no %s key that the repository's root names is in %s: give --keys the folder it is in", role,
			strings.Join(dirs, ", "))
	}
	if err != nil {
		return nil, err
	}
	return keys[0], nil
}

// versions reads the version counters of what shall be written.
func versions(s issue.Set) (v trust.Versions, err error) {
	for _, d := range []struct {
		raw []byte
		to  *int64
	}{{s.Targets, &v.Targets}, {s.Snapshot, &v.Snapshot}, {s.Timestamp, &v.Timestamp}} {
		if d.raw == nil {
			continue
		}
		if *d.to, err = issue.Version(d.raw); err != nil {
			return v, err
		}
	}
	return v, nil
}

// believed is what a client makes of the repository, for the last line of each command.
func believed(d folder.Dir, now time.Time) (trust.Repo, error) {
	pin, err := d.Pin()
	if err != nil {
		return trust.Repo{}, err
	}
	return issue.Check(d.Source(), trust.Image, pin, "", now)
}
