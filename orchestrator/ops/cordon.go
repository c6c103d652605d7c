package ops

import (
	"context"

	"hardnode.dev/internal/logging"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/orchestrator/ops/progress"
	"hardnode.dev/orchestrator/store"
)

// Cordon keeps new nodes off a host. One that is cordoned stays so since when it is, for the reason that is given now.
func (o *Ops) Cordon(ctx context.Context, id wire.HostID, by, reason string) error {
	name, err := o.onHost(ctx, id, func(tx *store.Tx, _ store.Host) error {
		c, there := store.Cordons.Read(tx, string(id))
		if !there {
			c.At = o.now()
		}
		c.By, c.Reason = by, reason
		store.Cordons.Put(tx, string(id), c)
		return nil
	})
	if err == nil {
		logging.Or(o.Log).Info("host is cordoned", logging.Host, name, "by", by, logging.Reason, reason)
	}
	return err
}

// Uncordon lets a host take new nodes again, and starts those that were stopped because it was drained; a drain under way ends, and what
// has left stays where it is. A host that is not cordoned stays as it is.
func (o *Ops) Uncordon(ctx context.Context, id wire.HostID, by string) error {
	name, err := o.onHost(ctx, id, func(tx *store.Tx, _ store.Host) error {
		c, there := store.Cordons.Read(tx, string(id))
		if op := holder(tx, c); there && op != nil {
			ended := progress.Uncordoned(*op, by)
			ended.Updated, ended.Cordon = o.now(), nil
			store.Operations.Put(tx, string(op.ID), ended)
		}
		store.Cordons.Delete(tx, string(id))
		return nil
	})
	if err == nil {
		logging.Or(o.Log).Info("host is uncordoned", logging.Host, name, "by", by)
	}
	return err
}

// onHost changes what is stored of a host that is there, and gives its name.
func (o *Ops) onHost(ctx context.Context, id wire.HostID, change func(*store.Tx, store.Host) error) (name string, err error) {
	_, err = o.Store.Update(ctx, func(tx *store.Tx) error {
		h, there := store.Hosts.Read(tx, string(id))
		if !there {
			return operator.NewProblem(operator.NotFound, "hosts/"+string(id), "there is no such host", "see hnctl host list")
		}
		name = h.Name
		return change(tx, h)
	})
	return name, err
}
