// Package systems says of which release each host's system shall be.
//
// Owns: the records store.Systems: of each host the order in force, or that it was taken back.
// In: an order and who gives it; what was imported; what the host said of its system last.
// Out: the record, which travels to the host in its Assignment; a Problem when the host could not carry the order out.
// Never: decides what may run (the host does, by the signed metadata of both repositories), or calls a host.
package systems

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"hardnode.dev/internal/release/trust"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/internal/wire/release"
	"hardnode.dev/orchestrator/store"
)

// Desk takes orders.
type Desk struct {
	Store interface { // store.Store
		Update(context.Context, func(*store.Tx) error) (wire.Revision, error)
	}
	Releases func() operator.Releases          // that were imported
	Serves   func(release string) (why string) // why netboot can't serve hosts a release, or ""
	// Carries tells whether a release names a system with this root, and whether it says so of any (releases.Shelf).
	Carries func(version string, root wire.Digest) (it, said bool)
	Now     func() time.Time
}

// Order makes a release the wanted one of a host, which is in its boot `boot`. An order that is in force already stays as it is, whatever
// became of it.
func (d *Desk) Order(ctx context.Context, id wire.HostID, name, boot string, status *host.SystemStatus, o operator.OrderSystem,
	by string) error {
	object := "hosts/" + name + "/system"
	next := host.System{Version: host.SystemVersion, Release: o.Release, Step: host.SystemStep(o.Step), WithinSec: o.WithinSec, By: by,
		Reason: o.Reason, Order: "new"}
	if err := next.Validate(); err != nil {
		return operator.NewProblem(operator.Invalid, object, err.Error(), "correct it")
	}
	_, err := d.Store.Update(ctx, func(tx *store.Tx) error {
		if _, ok := store.Hosts.Read(tx, string(id)); !ok {
			return operator.NewProblem(operator.NotFound, "hosts/"+name, "there is no such host", "see hnctl host list")
		}
		rec, _ := store.Systems.Read(tx, string(id))
		if rec.Release == next.Release && rec.Step == next.Step && rec.WithinSec == next.WithinSec {
			return nil
		}
		if p := Check(o, object, status, d.Releases().Releases); p != nil {
			return p
		}
		was := ""
		if status.Net {
			if why := cmp.Or(d.Serves(o.Release), d.Serves(status.Release)); why != "" { // that one it goes back to
				return operator.NewProblem(operator.Conflict, object, "the host boots from the network: "+why,
					"hnctl cluster netboot show; or install it (hnctl host install)")
			}
			next.Boot, was = boot, status.Release
		}
		d.put(tx, id, rec, next, was)
		return nil
	})
	return err
}

// TakeBack takes the order of a host back. A host that has not switched yet does nothing more.
func (d *Desk) TakeBack(ctx context.Context, id wire.HostID) error {
	_, err := d.Store.Update(ctx, func(tx *store.Tx) error {
		if rec, _ := store.Systems.Read(tx, string(id)); rec.Wanted() {
			d.put(tx, id, rec, host.System{Version: host.SystemVersion}, "")
		}
		return nil
	})
	return err
}

// put gives the record its revision: later than all before, also than those of a store that was restored since.
func (d *Desk) put(tx *store.Tx, id wire.HostID, old store.System, next host.System, was string) {
	now := d.Now().UTC()
	next.Revision = max(old.Revision+1, wire.Revision(now.UnixMilli()))
	if next.Wanted() {
		next.Order = strconv.FormatInt(int64(next.Revision), 36)
	}
	store.Systems.Put(tx, string(id), store.System{System: next, At: now.Truncate(time.Second), Was: was, Good: old.Good})
}

// Check says why a host can't carry an order out, as far as it can be told here, or nil. Status is what it said last; nil: nothing.
func Check(o operator.OrderSystem, object string, status *host.SystemStatus, imported []operator.Release) *operator.Problem {
	switch {
	case status == nil:
		return operator.NewProblem(operator.Unavailable, object, "the host has not said yet how its system is",
			"wait until it is ACTIVE; a host of an earlier release never says it: install it anew")
	case status.Net && o.Step != string(host.Switch):
		return operator.NewProblem(operator.Conflict, object, "the host boots from the network: nothing is written to it beforehand, and "+
			"its firmware starts what it is served", "give the order without --stage, --hot and --kexec")
	case status.Slot == "" && !status.Net:
		return operator.NewProblem(operator.Conflict, object, "the host is not installed, so it has no slot for another system: "+
			"it boots what its medium or the network serves", "install it (hnctl host install), or have the network serve the release")
	}
	var agreed []trust.Target
	for _, r := range imported {
		for _, f := range r.Files {
			agreed = append(agreed, trust.Target{Path: f.Path, Length: f.Bytes, Digest: f.Digest,
				Custom: trust.Custom{Release: r.Version, Floors: r.Floors, Severity: r.Severity, Arch: f.Arch}})
		}
	}
	if len(agreed) == 0 {
		return operator.NewProblem(operator.Conflict, object, "no release was imported into this cluster", "hnctl release import")
	}
	_, err := trust.Choose(agreed, trust.Have{Running: status.Release, Want: o.Release, Arch: release.Arch})
	var r *trust.Refusal
	switch {
	case errors.As(err, &r):
		return operator.NewProblem(operator.Conflict, object, r.Reason, r.Next)
	case err != nil:
		return operator.NewProblem(operator.Conflict, object, fmt.Sprintf("release %s: %v", o.Release, err), "hnctl release list")
	}
	return nil
}
