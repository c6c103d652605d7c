package node

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"slices"

	"github.com/spf13/cobra"

	"hardnode.dev/internal/backup"
	"hardnode.dev/internal/run/steady"
	"hardnode.dev/internal/wire"
	wirebackup "hardnode.dev/internal/wire/backup"
	"hardnode.dev/internal/wire/neighbour"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/internal/wire/snapshot"
	"hardnode.dev/tools/hnctl/app"
	"hardnode.dev/tools/hnctl/session"
)

func backupCreate(a *app.App) *cobra.Command {
	var want wirebackup.Create
	var whole bool
	var most, rate int
	c := &cobra.Command{
		Use: "create NODE PLACE", Short: "Back a node up: its own files and all its volumes", Args: cobra.ExactArgs(2),
		Long: "Takes a snapshot of a node, which stays on its host for the next backup, and writes it to PLACE. If the host still has\n" +
			"the snapshot of the last backup, only what has changed since is sent. The host encrypts it for the recipient.\n" +
			"One that was cut is gone on with, if the host still has its snapshot: what is there of it is not sent again.\n" + places,
		Example: "  hnctl node backup create 101 /mnt/backups --recipient age1…\n" +
			"  hnctl node backup create 101 s3://backups/here --recipient age1…\n" +
			"  hnctl node backup create 101 host:host-2 --recipient age1…",
		RunE: func(cmd *cobra.Command, args []string) error {
			err := errors.Join(want.Validate(), within("chain", most, 1, wirebackup.MaxChain), within("rate", rate, 0, maxRate))
			if err != nil {
				return app.Usage(cmd, "%v", err)
			}
			id, err := nodeID(cmd.Context(), a, args[0])
			if err != nil {
				return err
			}
			p, done, err := openPlace(a, args[1], true)
			if err != nil {
				return err
			}
			defer done()
			if err := mayKeep(cmd.Context(), p, id); err != nil {
				return err
			}
			there, err := goOn(cmd.Context(), a, p, id, &want, whole, most)
			if err != nil {
				return err
			}
			m, err := createBackup(cmd.Context(), a, id, p, want, there, rate)
			if err != nil {
				return err
			}
			how := "whole"
			if m.Before != "" {
				how = "what has changed since " + string(m.Before)
			}
			a.Say("backup %s of node %s is written: %s, %s", m.ID, id, how, amount(m.Bytes))
			return a.Show(m.Head, string(m.ID), func(t *app.Table) { backupTable(t, []backup.Manifest{m}) })
		},
	}
	c.Flags().StringVar(&want.Recipient, "recipient", "", "of age, who can read it (needed)")
	c.Flags().StringVar((*string)(&want.Snapshot), "snapshot", "", "the snapshot to back up; a new one if not given")
	c.Flags().BoolVar(&want.Compress, "compress", true, "have the host compress it before it encrypts it")
	c.Flags().BoolVar(&whole, "whole", false, "send all, also what the last backup has")
	c.Flags().IntVar(&most, "chain", 30, "how many backups may go on from each other before all is sent again")
	c.Flags().IntVar(&rate, "rate", 0, "MiB a second that it may take at most; 0 is no bound")
	return c
}

// goOn says in want what the place has already: the last backup, which the new one goes on from, or one that was cut.
func goOn(ctx context.Context, a *app.App, p backup.Place, id wire.CTID, want *wirebackup.Create, whole bool,
	most int) (backup.Cut, error) {
	list, err := backup.List(ctx, p, id)
	if err != nil {
		a.Say("note: %v", err)
	}
	var last backup.Manifest
	if n := len(list); n > 0 {
		last = list[n-1]
	}
	there, err := cutBefore(ctx, a, p, id, *want, whole, last)
	if err != nil {
		return there, err
	}
	if want.Resume = there.Resume(); want.Resume != nil {
		want.Compress = there.Compressed
		want.Snapshot, whole, most = there.ID, there.Before == "", wirebackup.MaxChain
	}
	if whole || last.ID == "" {
		return there, nil
	}
	switch chain, err := backup.Chain(ctx, p, id, last.ID); {
	case err != nil:
		a.Say("note: the last backup can't be gone on from: %v", err)
	case len(chain) < most:
		want.Base, want.Had = last.ID, last.Parts
	}
	return there, nil
}

// cutBefore is what is there of a backup that was cut and that is worth going on with: of the same kind, newer than the last one, and the
// host still has its snapshot. Without chunks there is none.
func cutBefore(ctx context.Context, a *app.App, p backup.Place, id wire.CTID, want wirebackup.Create, whole bool,
	last backup.Manifest) (backup.Cut, error) {
	cuts, err := backup.Cuts(ctx, p, id)
	if err != nil || len(cuts) == 0 {
		return backup.Cut{}, err
	}
	there := cuts[len(cuts)-1]
	if there.Recipient != want.Recipient || !there.Taken.After(last.Taken) || want.Snapshot != "" && want.Snapshot != there.ID ||
		there.Before != "" && (whole || there.Before != last.ID) {
		return backup.Cut{}, nil
	}
	has, err := app.Get[operator.NodeSnapshots](ctx, a, "/nodes/"+id.String()+"/snapshots")
	if err != nil {
		return backup.Cut{}, err
	}
	if !slices.ContainsFunc(has.Snapshots, func(s snapshot.Snapshot) bool { return string(s.ID) == string(there.ID) }) {
		a.Say("note: backup %s was cut, and the host has its snapshot no more: delete what is left of it", there.ID)
		return backup.Cut{}, nil
	}
	return there, there.Look(ctx, p)
}

// createBackup has the host send one, and saves it.
func createBackup(ctx context.Context, a *app.App, id wire.CTID, p backup.Place, want wirebackup.Create, there backup.Cut,
	rate int) (m backup.Manifest, err error) {
	q := url.Values{"recipient": {want.Recipient}}
	if want.Snapshot != "" {
		q.Set("snapshot", string(want.Snapshot))
	}
	if want.Base != "" {
		q.Set("base", string(want.Base))
		for _, had := range want.Had {
			q.Add("had", had.Text())
		}
	}
	if want.Resume != nil {
		q.Set("resume", want.Resume.Text())
	}
	if want.Compress {
		q.Set("compress", "true")
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	r, w := io.Pipe()
	sent := make(chan error, 1)
	go func() {
		err := nodeSession(ctx, a, id, "backup", q, session.IO{Out: steady.To(ctx, w, int64(rate)<<20), Err: a.Talk})
		w.CloseWithError(err) // nil is the end: all has come
		sent <- err
	}()
	defer func() {
		r.CloseWithError(err)
		if err != nil {
			cancel()
		}
		if serr := <-sent; serr != nil && !errors.Is(serr, context.Canceled) { // it says more
			err = serr
		}
	}()
	in := bufio.NewReaderSize(r, wirebackup.MaxHead)
	line, err := in.ReadSlice('\n')
	if err != nil {
		return m, fmt.Errorf("the host sent no backup: %w", err)
	}
	var head wirebackup.Head
	if err := neighbour.Decode(line, &head); err != nil {
		return m, fmt.Errorf("the host sent no backup: %v", err)
	}
	if head.Node != id {
		return m, fmt.Errorf("the host sent a backup of node %s", head.Node)
	}
	switch {
	case head.Resumed > 0:
		a.Say("backup %s was cut: it goes on behind %s", head.ID, amount(there.Bytes))
	case want.Resume != nil:
		a.Say("note: backup %s was cut, and can't be gone on with: it begins anew", head.ID)
	}
	return backup.Save(ctx, p, head, want.Recipient, in, there)
}

// maxRate is the most that a bound can be, in MiB a second: what is faster needs none.
const maxRate = 1 << 20

// within refuses what a flag can't be.
func within(flag string, n, least, most int) error {
	if n < least || n > most {
		return fmt.Errorf("--%s %d: want %d to %d", flag, n, least, most)
	}
	return nil
}
