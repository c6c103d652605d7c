package enroll

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"hardnode.dev/internal/identity"
	"hardnode.dev/internal/logging"
	"hardnode.dev/internal/secret"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/orchestrator/store"
)

// NewToken makes a one-time join token for a host of that name and returns its text, which is not kept. The name "" takes one that is made
// up.
func (d *Desk) NewToken(ctx context.Context, n operator.NewJoinToken) (operator.JoinToken, error) {
	if n.Name != "" {
		if err := wire.Label("host name", n.Name, 63); err != nil {
			return operator.JoinToken{}, operator.NewProblem(operator.Invalid, "name", err.Error(), "choose another name")
		}
	}
	const day = 24 * 60 * 60
	expires := d.Now().UTC().Truncate(time.Second).Add(time.Duration(cmp.Or(n.Seconds, day)) * time.Second)
	text, rec, err := identity.NewJoinToken(n.Name, host.Role(n.Role), expires)
	if err != nil {
		return operator.JoinToken{}, err
	}
	_, err = d.Store.Update(ctx, func(tx *store.Tx) error {
		for _, h := range store.Hosts.All(tx.View()) {
			if n.Name != "" && h.Name == n.Name {
				return operator.NewProblem(operator.Conflict, "hosts/"+n.Name, "a host of that name is enrolled already",
					"choose another name, or remove that host first")
			}
		}
		// Tokens that can't be used any more are forgotten a month after.
		for _, t := range store.JoinTokens.All(tx.View()) {
			if t.UsedBy == "" && d.Now().After(time.Unix(t.Expires, 0).AddDate(0, 1, 0)) {
				store.JoinTokens.Delete(tx, t.ID)
			}
		}
		store.JoinTokens.Put(tx, rec.ID, store.JoinToken{JoinToken: rec})
		return nil
	})
	return operator.JoinToken{Name: n.Name, Role: n.Role, Expires: expires, Text: secret.Text(text).Reveal()}, err
}

// Remove forgets a host: its certificate counts no more, its nodes are made anew elsewhere. One that still answers, and the infra host
// the cluster began on, are refused.
func (d *Desk) Remove(ctx context.Context, id wire.HostID, state operator.HostState) error {
	var name string
	_, err := d.Store.Update(ctx, func(tx *store.Tx) error {
		h, ok := store.Hosts.Read(tx, string(id))
		object := "hosts/" + string(id)
		switch {
		case !ok:
			return operator.NewProblem(operator.NotFound, object, "there is no such host", "see hnctl host list")
		case h.Role == host.RoleInfra && h.Number == 0:
			return operator.NewProblem(operator.Denied, "hosts/"+h.Name, "it carries the platform itself",
				"restore the platform on another machine first")
		case state.Answers():
			return operator.NewProblem(operator.Conflict, "hosts/"+h.Name, "it is "+string(state), "switch it off first")
		}
		name = h.Name
		store.Hosts.Delete(tx, string(id))
		store.Cordons.Delete(tx, string(id))
		store.Leaves.Delete(tx, string(id))
		store.Systems.Delete(tx, string(id))
		return nil
	})
	if err == nil {
		logging.Or(d.Log).Info("host removed", logging.Host, name, logging.Reason, fmt.Sprintf("an admin removed it; it was %s", state))
	}
	return err
}
