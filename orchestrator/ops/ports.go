package ops

import (
	"context"
	"fmt"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/orchestrator/store"
)

// SetPorts replaces the ports of a node that are published, for a caller of an account. A match of 0 is any revision of its environment.
func (o *Ops) SetPorts(ctx context.Context, id wire.CTID, account wire.Account, ports []host.Port, match wire.Revision) error {
	object := "nodes/" + id.String() + "/ports"
	if len(ports) > host.MaxPorts {
		return operator.NewProblem(operator.Invalid, object, fmt.Sprintf("there are %d ports, at most %d are published", len(ports),
			host.MaxPorts), "publish fewer")
	}
	seen := map[host.Port]bool{}
	for _, p := range ports {
		err := host.CheckPublished(p)
		if at := (host.Port{Proto: p.Proto, Host: p.Host}); err == nil && seen[at] {
			err = fmt.Errorf("%s port %d of the host is there twice", p.Proto, p.Host)
		} else {
			seen[at] = true
		}
		if err != nil {
			return operator.NewProblem(operator.Invalid, object, err.Error(), "mend the port; see hnctl node port list "+id.String())
		}
	}
	return o.changeNode(ctx, id, account, match, func(tx *store.Tx, n store.Node, e *store.Environment) error {
		e.SetPorts(n.Layer, n.Index+1, nil)
		others := store.Envs.All(tx.View())
		for i := range others {
			if others[i].Spec.Name == n.Env {
				others[i] = *e
			}
			for _, p := range others[i].Ports {
				if !seen[host.Port{Proto: p.Port.Proto, Host: p.Port.Host}] {
					continue
				}
				whose := "another node's"
				if account.Sees(others[i].Account) {
					whose = fmt.Sprintf("node %s of environment %s", p.Node, others[i].Spec.Name)
				}
				return operator.NewProblem(operator.Conflict, object,
					fmt.Sprintf("%s port %d is taken: %s", p.Port.Proto, p.Port.Host, whose),
					"choose another: one port is one node's in the whole cluster, on whichever host that is")
			}
		}
		e.SetPorts(n.Layer, n.Index+1, ports)
		return nil
	})
}
