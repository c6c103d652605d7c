package ops

import (
	"context"
	"fmt"
	"slices"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/mount"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/orchestrator/store"
)

// SetMounts replaces the volumes of other nodes that a node has mounted, for a caller of an account. A match of 0 is any revision of its
// environment.
func (o *Ops) SetMounts(ctx context.Context, id wire.CTID, account wire.Account, list []mount.Mount, match wire.Revision) error {
	object := "nodes/" + id.String() + "/mounts"
	refuse := func(why string) error {
		return operator.NewProblem(operator.Invalid, object, why, "mend the mount; see hnctl node volume list, hnctl node mount list "+
			id.String())
	}
	return o.changeNode(ctx, id, account, match, func(tx *store.Tx, n store.Node, e *store.Environment) error {
		shares := map[wire.CTID]int{}
		for _, m := range e.Mounts {
			shares[m.From]++
		}
		for _, m := range e.MountsOf(n.Layer, n.Index+1, func(wire.CTID) wire.HostID { return n.Host }) {
			shares[m.From]--
		}
		for i, m := range list {
			of, there := store.Nodes.Read(tx, m.From.String())
			named := func(v host.Volume) bool { return v.Name == m.Volume }
			switch {
			case mount.ValidatePath(m.Path) != nil:
				return refuse(fmt.Sprintf("mount %q: %v", m.Name, mount.ValidatePath(m.Path)))
			case !there || of.Gone || of.Env != n.Env:
				return refuse(fmt.Sprintf("mount %q: node %s is none of environment %s, within which volumes are mounted", m.Name, m.From,
					n.Env))
			case !slices.ContainsFunc(of.Container.Volumes, named):
				return refuse(fmt.Sprintf("mount %q: node %s has no volume %q", m.Name, m.From, m.Volume))
			}
			list[i].Host = of.Host
			for _, v := range n.Container.Volumes {
				if mount.Overlap(v.Path, m.Path) {
					return refuse(fmt.Sprintf("mount %q: path %q and the node's own volume at %q: one lies in the other", m.Name, m.Path,
						v.Path))
				}
			}
			if shares[m.From]++; shares[m.From] > mount.MaxShares {
				return refuse(fmt.Sprintf("mount %q: volumes of node %s are mounted %d times already", m.Name, m.From, mount.MaxShares))
			}
		}
		if err := mount.Validate(id, list); err != nil {
			return refuse(err.Error())
		}
		e.SetMounts(n.Layer, n.Index+1, list)
		return nil
	})
}
