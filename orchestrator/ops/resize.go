package ops

import (
	"cmp"
	"context"
	"fmt"

	"hardnode.dev/internal/logging"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/orchestrator/accounts"
	"hardnode.dev/orchestrator/env"
	"hardnode.dev/orchestrator/place"
	"hardnode.dev/orchestrator/store"
)

// Resize changes what a node that a caller's account sees may use; its host has it in force a moment later. memory is what the node's host
// has in all, 0: not known.
func (o *Ops) Resize(ctx context.Context, id wire.CTID, r operator.ResizeNode, account wire.Account,
	memory func(wire.HostID) int64) (size operator.NodeSize, err error) {
	object := "nodes/" + id.String()
	_, err = o.Store.Update(ctx, func(tx *store.Tx) error {
		n, there := store.Nodes.Read(tx, id.String())
		e, known := store.Envs.Read(tx, string(n.Env))
		switch {
		case !there || !known || n.Gone || !account.Sees(e.Account):
			return operator.NewProblem(operator.NotFound, object, "there is no such node", "see hnctl node list")
		case e.System:
			return operator.NewProblem(operator.Denied, object, "it is one of the platform's own nodes, whose size comes with its version",
				"resize a node of another environment")
		}
		was := n.Cloudlets
		c, l, p := env.Resize(n.Cloudlets, n.Container.Limits, r)
		volumes, wrong := env.ResizeVolumes(n.Container.Volumes, r.Volumes)
		if p := cmp.Or(p, wrong); p != nil {
			return p
		}
		before := accounts.OfNode(was, n.Container)
		after := n.Container
		after.Limits, after.Volumes = l, volumes
		if err := accounts.Admit(tx, e.Account, object, accounts.OfNode(c, after).Less(before)); err != nil {
			return err
		}
		if c.Reserved > was.Reserved || l.MemoryMax > n.Container.Limits.MemoryMax {
			all := memory(n.Host) - place.HostShare
			if all <= 0 {
				return operator.NewProblem(operator.Unavailable, object, "its host does not say how much memory it has",
					"wait until it answers: hnctl host list")
			}
			free := all
			for other := range store.NodesOn.Of(tx.View(), string(n.Host)) {
				if !other.Gone && other.CTID != id {
					free -= int64(other.Cloudlets.Reserved) * wire.CloudletBytes
				}
			}
			if need := int64(c.Reserved) * wire.CloudletBytes; need > free || l.MemoryMax > all {
				return operator.NewProblem(operator.Exhausted, object, fmt.Sprintf("its host has %d MiB that are not reserved by others, "+
					"%d MiB in all, and the node would reserve %d and use up to %d", max(free, 0)>>20, all>>20, need>>20, l.MemoryMax>>20),
					"give it less, or make it anew where there is room: hnctl env spread "+string(n.Env))
			}
		}
		n.Cloudlets, n.Container.Limits, n.Container.Volumes = c, l, volumes
		store.Nodes.Put(tx, id.String(), n)
		size = env.SizeOf(c, n.Container)
		return nil
	})
	if err == nil {
		logging.Or(o.Log).Info("node is resized", logging.Container, id, "memoryMiB", size.MemoryMiB, "cpuMHz", size.CPUMHz)
	}
	return size, err
}
