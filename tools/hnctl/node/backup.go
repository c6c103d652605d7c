package node

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"hardnode.dev/internal/backup"
	"hardnode.dev/internal/run/steady"
	"hardnode.dev/internal/wire"
	wirebackup "hardnode.dev/internal/wire/backup"
	"hardnode.dev/internal/wire/neighbour"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/tools/hnctl/app"
	"hardnode.dev/tools/hnctl/session"
)

func backupGroup(a *app.App) *cobra.Command {
	return app.Group("backup", "Backups of nodes: encrypted, in a directory, an S3 store or on another host", backupKey(a),
		backupCreate(a), backupList(a), backupVerify(a), backupRestore(a), backupDelete(a), backupPrune(a))
}

func backupKey(a *app.App) *cobra.Command {
	return &cobra.Command{
		Use: "key FILE", Short: "Make a key for backups", Args: cobra.ExactArgs(1),
		Long: "Makes a key of age in FILE and prints its recipient, for which backups are encrypted. The platform never has the key:\n" +
			"keep FILE where the backups are not, more than once. Without it nobody can read them.",
		Example: "  hnctl node backup key ~/backups.key",
		RunE: func(_ *cobra.Command, args []string) error {
			recipient, err := backup.NewKey(args[0])
			if err != nil {
				return err
			}
			a.Say("keep %s safe: without it nobody can read the backups", args[0])
			fmt.Fprintln(a.Out, recipient)
			return nil
		},
	}
}

func backupList(a *app.App) *cobra.Command {
	return &cobra.Command{
		Use: "list PLACE [NODE]", Short: "The backups at a place, the oldest first", Args: cobra.RangeArgs(1, 2),
		Long: "Lists the backups at PLACE, those of a node alone if it is given by number. It asks PLACE and nobody else.\n" + places,
		RunE: func(cmd *cobra.Command, args []string) error {
			var node wire.CTID
			if len(args) == 2 {
				var err error
				if node, err = wire.ParseCTID(args[1]); err != nil {
					return app.WithCode(app.ExitUsage, err)
				}
			}
			p, done, err := openPlace(a, args[0], false)
			if err != nil {
				return err
			}
			defer done()
			list, lerr := backup.List(cmd.Context(), p, node)
			if lerr != nil && len(list) == 0 {
				return lerr
			}
			cuts, err := backup.Cuts(cmd.Context(), p, node)
			if err == nil {
				err = sayRoom(cmd.Context(), a, p)
			}
			if err != nil {
				return err
			}
			for _, c := range cuts {
				a.Say("note: backup %s of node %s was cut behind %s, %s: create goes on with it, delete takes it away", c.ID, c.Node,
					amount(c.Bytes), app.Stamp(c.Written))
			}
			if err := a.Show(list, app.Joined(list, func(m backup.Manifest) string { return m.Node.String() + "/" + string(m.ID) }),
				func(t *app.Table) { backupTable(t, list) }); err != nil {
				return err
			}
			if lerr != nil {
				return app.WithCode(app.ExitPartly, lerr)
			}
			return nil
		},
	}
}

func backupTable(t *app.Table, list []backup.Manifest) {
	t.Head("NODE", "BACKUP", "TAKEN", "GOES ON FROM", "SIZE", "PARTS", "NOTE")
	for _, m := range list {
		var parts []string
		for _, p := range m.Parts {
			if p.Volume == "" {
				parts = append(parts, "own files")
			} else {
				parts = append(parts, p.Volume)
			}
		}
		t.Row(m.Node, string(m.ID), app.Stamp(m.Taken), string(m.Before), amount(m.Bytes), strings.Join(parts, ", "), m.Note)
	}
}

func amount(n int64) string {
	if n < 1<<20 {
		return strconv.FormatInt((n+1023)>>10, 10) + " KiB"
	}
	return strconv.FormatFloat(float64(n)/(1<<20), 'f', 1, 64) + " MiB"
}

// chainOf is a backup with all that it goes on from; "latest" is the newest one of the node.
func chainOf(ctx context.Context, p backup.Place, node wire.CTID, id string) ([]backup.Manifest, error) {
	if id == "latest" {
		list, err := backup.List(ctx, p, node)
		if len(list) == 0 {
			if err == nil {
				err = app.WithCode(app.ExitNotFound, fmt.Errorf("there is no backup of node %s", node))
			}
			return nil, err
		}
		id = string(list[len(list)-1].ID)
	}
	chain, err := backup.Chain(ctx, p, node, wirebackup.ID(id))
	if errors.Is(err, backup.ErrNone) {
		return nil, app.WithCode(app.ExitNotFound, err)
	}
	return chain, err
}

func backupVerify(a *app.App) *cobra.Command {
	var key string
	c := &cobra.Command{
		Use: "verify PLACE NODE BACKUP", Short: "Read a backup back and find out whether it is sound", Args: cobra.ExactArgs(3),
		Long: "Reads a backup, and all that it goes on from, back from PLACE and compares checksums; with the key it is decrypted too,\n" +
			"and each command of its streams looked at. BACKUP may be latest. It asks PLACE and nobody else.\n" + places,
		Example: "  hnctl node backup verify /mnt/backups 101 latest --key ~/backups.key",
		RunE: func(cmd *cobra.Command, args []string) error {
			p, node, done, err := placeAndNode(a, args, false)
			if err != nil {
				return err
			}
			defer done()
			keys, err := keysOf(key)
			if err != nil {
				return err
			}
			chain, err := chainOf(cmd.Context(), p, node, args[2])
			if err != nil {
				return err
			}
			for _, m := range chain {
				if err := backup.Verify(cmd.Context(), p, m, keys); err != nil {
					return err
				}
				what := "all chunks are what was written"
				if keys != nil {
					what += ", and all that is in them is sound"
				}
				a.Say("backup %s of node %s: %s", m.ID, m.Node, what)
			}
			return nil
		},
	}
	c.Flags().StringVar(&key, "key", "", "file of the key: what is in the chunks is looked at too")
	return c
}

func backupRestore(a *app.App) *cobra.Command {
	var key, of string
	var volumes bool
	var rate int
	c := &cobra.Command{
		Use: "restore PLACE NODE BACKUP", Short: "Have a node be as in a backup", Args: cobra.ExactArgs(3),
		Long: "Reads a backup from PLACE, decrypts it here, and has NODE's host make a snapshot of it, which is then restored as by\n" +
			"hnctl node snapshot restore: what is there is kept as another snapshot. NODE may be of any installation, also one that\n" +
			"never saw the node that was backed up; it needs volumes of the same names, and for its own files the same image.\n" +
			"BACKUP may be latest.\n" + places,
		Example: "  hnctl node backup restore /mnt/backups 101 latest --key ~/backups.key\n" +
			"  hnctl node backup restore s3://backups/here 205 20261127-101502 --of 101 --key ~/backups.key",
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx := cmd.Context()
			if key == "" {
				return app.Usage(cmd, "--key is needed: only the key's file can read backups")
			}
			if err := within("rate", rate, 0, maxRate); err != nil {
				return app.Usage(cmd, "%v", err)
			}
			id, err := nodeID(ctx, a, args[1])
			from := id
			if err == nil && of != "" {
				if from, err = wire.ParseCTID(of); err != nil {
					err = app.WithCode(app.ExitUsage, err)
				}
			}
			if err != nil {
				return err
			}
			p, done, err := openPlace(a, args[0], false)
			if err != nil {
				return err
			}
			defer done()
			keys, err := keysOf(key)
			if err != nil {
				return err
			}
			chain, err := chainOf(ctx, p, from, args[2])
			if err != nil {
				return err
			}
			var answer bytes.Buffer
			r, w := io.Pipe()
			go func() { w.CloseWithError(decrypted(ctx, p, chain, keys, steady.To(ctx, w, int64(rate)<<20))) }()
			err = nodeSession(ctx, a, id, "import", url.Values{"backups": {strconv.Itoa(len(chain))}},
				session.IO{In: r, Out: &answer, Err: a.Talk})
			r.CloseWithError(io.ErrClosedPipe)
			if err != nil {
				return err
			}
			var got wirebackup.Taken
			if err := neighbour.Decode(answer.Bytes(), &got); err != nil {
				return fmt.Errorf("the host's answer can't be read: %v", err)
			}
			for _, n := range got.Notes {
				a.Say("note: %s", n)
			}
			out, err := changeSnapshots(ctx, a, http.MethodPost, id.String(), "/"+url.PathEscape(string(got.Snapshot))+"/restore",
				operator.RestoreSnapshot{Volumes: volumes || len(got.Notes) > 0})
			if err != nil {
				return fmt.Errorf("the backup is there as snapshot %s, and is not restored: %w", got.Snapshot, err)
			}
			a.Say("node %s is as in backup %s of node %s; what was there before is kept as snapshot %s, and takes of its space until "+
				"that is deleted", id, chain[len(chain)-1].ID, from, out.Kept)
			return showSnapshots(a, out.Snapshots)
		},
	}
	c.Flags().StringVar(&key, "key", "", "file of the key (needed)")
	c.Flags().IntVar(&rate, "rate", 0, "MiB a second that it may take at most; 0 is no bound")
	c.Flags().StringVar(&of, "of", "", "number of the node that was backed up, if it is another one")
	c.Flags().BoolVar(&volumes, "volumes", false, "the volumes alone: the node's own files stay as they are")
	return c
}

// decrypted writes a chain as a host takes it back.
func decrypted(ctx context.Context, p backup.Place, chain []backup.Manifest, keys []backup.Key, w io.Writer) error {
	for _, m := range chain {
		r, err := backup.Decrypt(ctx, p, m, keys)
		if err != nil {
			return err
		}
		line, err := json.Marshal(m.Head)
		if err != nil {
			return err
		}
		if _, err := w.Write(append(line, '\n')); err != nil {
			return err
		}
		if _, err := io.Copy(w, r); err != nil {
			return err
		}
	}
	return nil
}

// keysOf reads a file of keys; "" is none.
func keysOf(file string) ([]backup.Key, error) {
	if file == "" {
		return nil, nil
	}
	keys, err := backup.Keys(file)
	if err != nil {
		return nil, app.WithCode(app.ExitUsage, err)
	}
	return keys, nil
}
