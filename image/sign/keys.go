package sign

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"hardnode.dev/internal/release/issue"
	"hardnode.dev/internal/release/issue/folder"
	"hardnode.dev/internal/release/issue/keyfile"
)

func keysCommand() *cobra.Command {
	var dir string
	var o opener
	c := &cobra.Command{Use: "keys --dir DIR NAME...", Short: "Make keys: root-1, targets, snapshot, timestamp and the like",
		Long: "Makes a key pair of each name as NAME.key (encrypted with a passphrase: age) and NAME.pub. The name begins with the " +
			"role: root,\n" +
			"targets, snapshot or timestamp. Root and targets keys are offline: make each root key in a folder of its own, on a stick.",
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, names []string) error {
			p, err := o.fresh()
			if err != nil {
				return err
			}
			for _, n := range names {
				pub, err := keyfile.Make(dir, n, p)
				if err != nil {
					return err
				}
				fmt.Fprintf(cmd.OutOrStdout(), "%s %x\n", n, []byte(pub))
			}
			return nil
		}}
	c.Flags().StringVar(&dir, "dir", "", "folder to make them in; may be a stick")
	c.MarkFlagRequired("dir")
	o.flag(c)
	return c
}

// rooted is what init and rotate share: a root that names the public keys found in folders.
type rooted struct {
	repo      string
	public    []string
	keys      []string
	threshold int
	days      int
	open      opener
}

func (r *rooted) flags(c *cobra.Command) {
	c.Flags().StringVar(&r.repo, "repo", "", "the repository's folder")
	c.Flags().StringSliceVar(&r.public, "public", nil, "folders with all the .pub files that the root shall name")
	c.Flags().StringSliceVar(&r.keys, "keys", nil, "folders with the root keys that sign; default: those of --public")
	c.Flags().IntVar(&r.threshold, "threshold", 2, "how many root keys must sign the next root")
	c.Flags().IntVar(&r.days, "days", rootDays, "days until the root ends")
	c.MarkFlagRequired("repo")
	c.MarkFlagRequired("public")
	r.open.flag(c)
}

func (r *rooted) roles() (issue.Roles, error) {
	roles := issue.Roles{Threshold: r.threshold}
	for _, x := range []struct {
		role string
		to   *[]ed25519.PublicKey
	}{{"root", &roles.Root}, {"targets", &roles.Targets}, {"snapshot", &roles.Snapshot}, {"timestamp", &roles.Timestamp}} {
		for _, dir := range r.public {
			names, err := keyfile.Names(dir, x.role, true)
			if err != nil {
				return roles, err
			}
			for _, n := range names {
				k, err := keyfile.Public(dir, n)
				if err != nil {
					return roles, err
				}
				*x.to = append(*x.to, k)
			}
		}
	}
	return roles, nil
}

func (r *rooted) signers() []string {
	if r.keys == nil {
		return r.public
	}
	return r.keys
}

func initCommand() *cobra.Command {
	var r rooted
	c := &cobra.Command{Use: "init --repo DIR --public DIR,... --keys DIR,...", Short: "Begin a repository: its first root",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			d := folder.Dir(r.repo)
			if _, n, err := d.Root(); err != nil || n > 0 {
				return errors.Join(err, fmt.Errorf("begin repository %q: it has root %d already; rotate makes the next one", r.repo, n))
			}
			roles, err := r.roles()
			if err != nil {
				return err
			}
			signers, err := r.open.all(r.signers(), "root", roles.Root)
			if err != nil {
				return err
			}
			raw, err := issue.FirstRoot(roles, signers, time.Now().Add(time.Duration(r.days)*day))
			if err != nil {
				return err
			}
			if err := d.WriteRoot(raw, 1); err != nil {
				return err
			}
			pin, err := d.Pin()
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.ErrOrStderr(), "%s begins with root 1: %d root keys, %d of them sign the next root\n", r.repo, len(roles.Root),
				roles.Threshold)
			fmt.Fprintln(cmd.OutOrStdout(), pin)
			return nil
		}}
	r.flags(c)
	return c
}

func rotateCommand() *cobra.Command {
	var r rooted
	c := &cobra.Command{Use: "rotate --repo DIR --public DIR,... --keys DIR,...", Short: "Make the next root: other keys, or a later end",
		Long: "The next root names all keys whose .pub lies in --public, and no others: a key left out is revoked. It is signed with " +
			"the root\n" +
			"keys in --keys, of which as many must be known to the present root as that asks for. When a snapshot or timestamp key was\n" +
			"stolen, replace both: machines then forget the counters that the thief may have raised. Run timestamp afterwards.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			d := folder.Dir(r.repo)
			old, n, err := d.Root()
			if err != nil {
				return err
			}
			if n == 0 {
				return fmt.Errorf("rotate %q: there is no root; init makes the first", r.repo)
			}
			was, err := issue.RolesOf(old)
			if err != nil {
				return err
			}
			roles, err := r.roles()
			if err != nil {
				return err
			}
			signers, err := r.open.all(r.signers(), "root", was.Root, roles.Root)
			if err != nil {
				return err
			}
			raw, err := issue.NextRoot(old, roles, signers, time.Now().Add(time.Duration(r.days)*day))
			if err != nil {
				return err
			}
			if err := d.WriteRoot(raw, n+1); err != nil {
				return err
			}
			fmt.Fprintf(cmd.ErrOrStderr(), "root %d is made; next, in this order: sign again if the targets key changed, timestamp\n", n+1)
			return nil
		}}
	r.flags(c)
	return c
}
