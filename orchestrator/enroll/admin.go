package enroll

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"net/http"
	"strings"
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

// Label replaces what is said of a host for placing; labels are some that a host can have. A match of 0 is any revision of its record.
func (d *Desk) Label(ctx context.Context, id wire.HostID, labels map[string]string, match wire.Revision) error {
	var name string
	_, err := d.Store.Update(ctx, func(tx *store.Tx) error {
		h, ok := store.Hosts.Read(tx, string(id))
		object := "hosts/" + cmp.Or(h.Name, string(id))
		revision := store.Hosts.Revision(tx.View(), string(id))
		switch {
		case !ok:
			return operator.NewProblem(operator.NotFound, object, "there is no such host", "see hnctl host list")
		case match != 0 && match != revision:
			p := operator.NewProblem(operator.Conflict, object,
				fmt.Sprintf("its record has revision %d now, If-Match says %d", revision, match), "read its labels again and repeat")
			p.Status = http.StatusPreconditionFailed
			return p
		}
		name, h.Labels = h.Name, nil
		if len(labels) > 0 {
			h.Labels = maps.Clone(labels)
		}
		store.Hosts.Put(tx, string(id), h)
		return nil
	})
	if err == nil {
		logging.Or(d.Log).Info("host is labelled", logging.Host, name, "labels", strings.Join(operator.LabelWords(labels), " "))
	}
	return err
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
