package ops

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/internal/wire/share"
	"hardnode.dev/orchestrator/accounts"
	"hardnode.dev/orchestrator/authz"
	"hardnode.dev/orchestrator/env"
	"hardnode.dev/orchestrator/ops/progress"
	"hardnode.dev/orchestrator/shares"
	"hardnode.dev/orchestrator/store"
	"hardnode.dev/orchestrator/world"
)

// Transfer gives an environment to the account that it is offered to as its own, in one transaction. All that is its own goes along: nodes
// with their numbers, addresses and data, names, certificates, how it is served, firewalls, ports, mounts, schedules, variables, secret
// ones too. What others may in it ends: shares, offers, and what tokens of its account may; the tokens that were for it alone are ended.
func (o *Ops) Transfer(ctx context.Context, name wire.EnvName, to wire.Account, by string) (out share.Share, ended []store.Token,
	err error) {
	now := o.now().Truncate(time.Second)
	_, err = o.Store.Update(ctx, func(tx *store.Tx) error {
		s, err := shares.Transfer(tx, to, name, now)
		if err != nil {
			return err
		}
		e, _ := store.Envs.Read(tx, string(name))
		if p := toTaker(o.inTheWay(tx, e), s); p != nil {
			return p
		}
		store.Numbers.Read(tx, "ctid") // so that no node of it is made at the same moment, which would be the old account's
		authz.Counted(tx, e.Account)   // nor does it get a host name or an offer
		if err := accounts.AdmitTransferred(tx, e, to); err != nil {
			return err
		}
		ended = authz.EndIn(tx, e, fmt.Sprintf("environment %s is account %s's now", name, to), now)
		shares.EndAll(tx, e)
		out = shares.Transferred(s, now)
		if err := o.gives(tx, e, to, by); err != nil {
			return err
		}
		return o.tellTransfer(tx, s, by)
	})
	return out, ended, err
}

// gives makes an environment and its nodes an account's.
func (o *Ops) gives(tx *store.Tx, e store.Environment, to wire.Account, by string) (err error) {
	from := e.Account
	for seen := range store.NodesOf.Of(tx.View(), string(e.Spec.Name)) {
		n, there := store.Nodes.Read(tx, seen.CTID.String())
		if !there {
			continue
		}
		n.Container.Account = to
		n.Former, n.Container.Formers = nil, nil // what it was made of may be its former account's alone
		if n.Container.Process.Sealed, err = o.Secrets.Rebound(n.Container.Process.Sealed, from, to); err != nil {
			return fmt.Errorf("node %s: %w", n.CTID, err)
		}
		store.Nodes.Put(tx, n.CTID.String(), n)
	}
	if o.Sites != nil {
		if err := o.Sites(tx, e, to); err != nil {
			return err
		}
	}
	if e.Spec, err = o.Secrets.ReboundSpec(e.Spec, from, to); err != nil {
		return err
	}
	e.Account, e.By = to, by
	e.Group = "" // one of that name may be the other account's
	store.Envs.Put(tx, string(e.Spec.Name), e)
	return nil
}

// tellTransfer writes to the owners of both accounts.
func (o *Ops) tellTransfer(tx *store.Tx, s store.Share, by string) error {
	if o.Notice == nil {
		return nil
	}
	subject := fmt.Sprintf("Environment %s is account %s's now", s.Env, s.With)
	gave := fmt.Sprintf("Account %s has accepted environment %s, which %s offered to it on %s. It is that account's own, with its data, "+
		"its host names and its secret variables; nobody of account %s sees it any more, and it takes nothing of that account's limits.\n",
		s.With, s.Env, s.By, s.Created.Format(time.DateOnly), s.Account)
	took := fmt.Sprintf("%s has accepted environment %s, which account %s offered to account %s. It is stopped, and counts for the limits "+
		"of account %s.\n\nStart it: hnctl env start %s\n", by, s.Env, s.Account, s.With, s.With, s.Env)
	for to, text := range map[wire.Account]string{s.Account: gave, s.With: took} {
		var p *operator.Problem
		if err := o.Notice(tx, to, subject, text); err != nil && (!errors.As(err, &p) || p.Code != operator.Exhausted) {
			return err // that too many mails wait keeps nothing from changing hands: both records have it
		}
	}
	return nil
}

// Transferable is nil when an environment can change hands as it is; else a Problem for its own account that names all that is in the way.
func (o *Ops) Transferable(tx *store.Tx, e store.Environment) error {
	var found []*operator.Problem
	for _, x := range o.inTheWay(tx, e) {
		found = append(found, x.Problem)
	}
	if p := operator.All(found); p != nil {
		return p
	}
	return nil
}

// obstacle is why an environment can't change hands as it is, as its own account is told.
type obstacle struct {
	*operator.Problem
	rests bool // it is a matter of it being at rest, which the other account is told too
}

// toTaker is what the account is told that accepts: not what else is the other's.
func toTaker(found []obstacle, s store.Share) *operator.Problem {
	if len(found) == 0 {
		return nil
	}
	reason := "something in it is of account " + string(s.Account) + " alone"
	next := fmt.Sprintf("ask account %s, which is told what is in the way: hnctl env transfer %s --to %s", s.Account, s.Env, s.With)
	if i := slices.IndexFunc(found, func(x obstacle) bool { return x.rests }); i >= 0 {
		reason, next = "it is not stopped, or something is still at work on it", fmt.Sprintf("ask account %s to stop it", s.Account)
	}
	return operator.NewProblem(operator.Conflict, "shares/"+string(s.Env), "it can't change hands as it is: "+reason, next)
}

// inTheWay is all that keeps an environment from changing hands. A transaction that goes on without one fails when there is one meanwhile.
func (o *Ops) inTheWay(tx *store.Tx, e store.Environment) (found []obstacle) {
	name := e.Spec.Name
	object := "environments/" + string(name)
	rests := func(of, reason, next string) {
		found = append(found, obstacle{operator.NewProblem(operator.Conflict, of, reason, next), true})
	}
	store.Operations.Read(tx, string(e.Operation))
	busy := false
	for op := range store.OperationsIn.Of(tx.View(), store.Unended) {
		if busy = busy || op.Env == name; op.Env == name {
			rests(object, "operation "+string(op.ID)+" ("+op.Kind+") is at work on it", "wait for it: hnctl op watch "+string(op.ID))
		}
	}
	p := progress.Refusal(progress.Transfer, name, &e, 0, 0)
	switch {
	case p != nil:
		found = append(found, obstacle{p, true})
	case e.Failed != nil:
		rests(object, "its creation failed", "start it, or delete it: hnctl env start "+string(name))
	case !busy:
		w := world.World{Now: o.now(), View: tx.View(), Live: o.Fleet.Snapshot()}.For(world.Admin)
		for seen := range store.NodesOf.Of(tx.View(), string(name)) {
			if n, there := store.Nodes.Read(tx, seen.CTID.String()); there && !n.Gone {
				if why := unsettled(w, n); why != "" {
					rests("nodes/"+n.CTID.String(), why, "wait a moment, and try again: hnctl env show "+string(name))
				}
			}
		}
	}
	for _, p := range ofOneAccount(tx.View(), e) {
		found = append(found, obstacle{p, false})
	}
	return found
}

// unsettled is why a node of a stopped environment is not at rest, "" if it is.
func unsettled(w world.World, n store.Node) string {
	now := w.NodeOf(n)
	switch {
	case n.Moving != nil:
		return "it moves to another host"
	case n.Made != nil:
		return "an edit of it is still being undone"
	case now.State == env.Unknown:
		return "whether it has stopped is not known: " + now.Reason
	case n.Stays != "", !w.Answered(n),
		slices.Contains([]string{string(host.CtRunning), string(host.CtStarting), string(host.CtFailing), string(host.CtStopping)},
			now.State):
		return "it has not stopped yet"
	}
	return ""
}

// ofOneAccount is what of an environment no other account could use: templates that its account pushed, and rules of firewalls that name
// other environments of its account.
func ofOneAccount(v *store.View, e store.Environment) (found []*operator.Problem) {
	name, templates := e.Spec.Name, templatesOf(v)
	object := "environments/" + string(name)
	pushed := map[wire.TemplateName]bool{}
	theirs := func(t host.Template) bool { return t.Account.Owner() != wire.AdminAccount }
	for i, l := range e.Spec.Layers {
		if t, ok := templates.Find(e.Account.Owner(), l.Template); ok && theirs(t) {
			pushed[t.Name] = true
			found = append(found, operator.NewProblem(operator.Conflict, fmt.Sprintf("%s/layers[%d]", object, i),
				fmt.Sprintf("layer %s is made of template %s, which account %s pushed and no other account sees", l.Name, t.Name,
					t.Account),
				"have it made of one of the cluster's: hnctl env apply -f FILE"))
		}
	}
	for n := range store.NodesOf.Of(v, string(name)) {
		t := store.Templates.Find(v, store.TemplateKey(n.Container.Image.Name))
		if !n.Gone && t != nil && theirs(*t) && !pushed[t.Name] {
			found = append(found, operator.NewProblem(operator.Conflict, "nodes/"+n.CTID.String(),
				fmt.Sprintf("it is made of template %s, which account %s pushed and no other account sees", t.Name, t.Account),
				"have it made of one of the cluster's: hnctl env apply -f FILE"))
		}
	}
	walls := slices.Clone(e.Walls)
	slices.SortFunc(walls, func(a, b store.Wall) int { return cmp.Compare(a.Name, b.Name) })
	for _, wall := range walls {
		for _, r := range wall.Rules {
			if _, of := r.Peers(); of != "" && of != name && of != env.System {
				found = append(found, operator.NewProblem(operator.Conflict, object,
					fmt.Sprintf("rule %q of the firewall of %s names environment %s (%s), which is not there for another account", r.Name,
						wall.Name, of, r.Peer),
					"remove the rule, or name an address: hnctl node firewall --help"))
			}
		}
	}
	return found
}
