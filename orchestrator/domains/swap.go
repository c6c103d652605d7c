package domains

import (
	"context"
	"fmt"
	"strings"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/front"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/orchestrator/store"
)

// Swap gives each of two environments of one account the other's names, with their certificates and how they are served, at one moment. The
// names that each has in the cluster's domain stay. Errors are Problems.
func (d *Desk) Swap(ctx context.Context, env, with wire.EnvName, account wire.Account) error {
	object := "environments/" + string(env)
	_, err := d.Store.Update(ctx, func(tx *store.Tx) error {
		v := tx.View()
		a, err := environment(v, env, account)
		if err != nil {
			return err
		}
		b, err := environment(v, with, account)
		if err != nil {
			return err
		}
		switch {
		case env == with:
			return operator.NewProblem(operator.Invalid, "with", "it is the same environment", "name another one")
		case a.Account.Owner() != b.Account.Owner():
			return operator.NewProblem(operator.Denied, "with",
				fmt.Sprintf("environment %s is another account's: names are proved by account", with),
				"delete the names there, and set them here")
		}
		// both are read, so that neither goes meanwhile
		store.Envs.Read(tx, string(env))
		store.Envs.Read(tx, string(with))
		mine, stay := moving(v, a)
		theirs, remain := moving(v, b)
		for _, c := range []struct {
			env  wire.EnvName
			many int
		}{{env, stay + len(theirs)}, {with, remain + len(mine)}} {
			if c.many > front.MaxNames {
				return operator.NewProblem(operator.Exhausted, object,
					fmt.Sprintf("environment %s would have %d names, at most %d are allowed", c.env, c.many, front.MaxNames),
					"delete some: hnctl env domain delete")
			}
		}
		if len(mine)+len(theirs) == 0 {
			return operator.NewProblem(operator.Conflict, object, "neither of the two has a name outside of the cluster's domain",
				"give one a name first: hnctl env domain set")
		}
		give := func(list []store.Domain, to store.Environment) {
			for _, seen := range list {
				if rec, there := store.Domains.Read(tx, seen.Name); there {
					rec.Env, rec.Since = to.Spec.Name, to.Created
					store.Domains.Put(tx, rec.Name, rec)
				}
			}
		}
		give(mine, b)
		give(theirs, a)
		return nil
	})
	return err
}

// moving are an environment's names outside of the cluster's domain, and how many others it has.
func moving(v *store.View, e store.Environment) (out []store.Domain, others int) {
	mine := own(v, e.Spec.Name)
	for rec := range store.DomainsOf.Of(v, string(e.Spec.Name)) {
		switch {
		case !alive(&rec, &e):
		case rec.Name == mine, strings.HasSuffix(rec.Name, "."+mine):
			others++
		default:
			out = append(out, rec)
		}
	}
	return out, others
}
