package api

import (
	"context"
	"fmt"
	"strings"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/orchestrator/authz"
	"hardnode.dev/orchestrator/env"
	"hardnode.dev/orchestrator/shares"
	"hardnode.dev/orchestrator/store"
	"hardnode.dev/orchestrator/world"
)

// forGuests are the operations that an environment's share opens, each within the scopes of its role: no others, whatever is added. They
// name nothing beside that environment, its nodes and its operations, and take nothing of its account's quota.
var forGuests = map[string]bool{"getEnvironment": true, "getNode": true, "getNodeUsage": true, "getNodeSize": true, "getPorts": true,
	"getMounts": true, "getOperation": true, "watchOperation": true, "cancelOperation": true,
	"startEnvironment": true, "stopEnvironment": true, "restartEnvironment": true, "accessLogEnvironment": true,
	"execNode": true, "logsNode": true, "jemNode": true, "restartNode": true, "forwardNode": true, "consoleNode": true, "topNode": true}

// guest is what a caller is beside themselves who asks for what another account shares with theirs: they act in that account, within that
// environment.
type guest struct {
	authz.Who        // as they are in their own account
	share     string // role
}

// asGuest is the caller as they are in the environment that a request is about: where that is shared with their account, somebody of its
// own account whose token is for this environment alone and has the scopes that their own role and the share's both have. A caller whose
// own account sees it, whose token is for some environments only, or with whom it isn't shared stays who they are.
func (s *Server) asGuest(c caller, id, path string, scope authz.Scope, param func(string) string) (caller, *operator.Problem) {
	if c.Account == "" || c.Account == wire.AdminAccount || c.Envs != nil {
		return c, nil
	}
	v := s.Store.View()
	name := environmentIn(v, path, param)
	if name == "" {
		return c, nil
	}
	rec := shares.Of(v, name, c.Account)
	if rec == nil {
		return c, nil
	}
	refused := func(reason string) *operator.Problem {
		return operator.NewProblem(operator.Denied, "environments/"+string(name), fmt.Sprintf(
			"account %s shares it with account %s as %s, %s", rec.Account, c.Account, rec.Role, reason), "ask account "+string(rec.Account))
	}
	if !forGuests[id] {
		return c, refused("which does not include this")
	}
	in := c
	in.guest = &guest{c.Who, string(rec.Role)}
	in.Account, in.Envs, in.Name = rec.Account, []wire.EnvName{name}, world.Guest(c.Account)
	in.Scopes = authz.Both(c.Scopes, rec.Role.Scopes())
	if p := in.Require(scope, path); p != nil {
		if c.Require(scope, path) != nil {
			return c, c.Require(scope, path)
		}
		return c, refused("which does not include scope " + string(scope))
	}
	in.world = func() world.World {
		w := s.World(in.Account).Within([]wire.EnvName{})
		now := shares.Of(w.View, name, c.Account)
		if now == nil || now.Account != rec.Account || now.Role != rec.Role {
			return w // it has ended
		}
		return w.Within(in.Envs).Sharing(map[wire.EnvName]*store.Share{name: now})
	}
	return in, nil
}

// environmentIn is the user's environment that a request names by what is in its path; "": none that is there.
func environmentIn(v *store.View, path string, param func(string) string) wire.EnvName {
	var name wire.EnvName
	switch {
	case strings.Contains(path, "{env}"):
		name = wire.EnvName(param("env"))
	case strings.Contains(path, "{ctid}"):
		id, err := wire.ParseCTID(param("ctid"))
		if err != nil {
			return ""
		}
		if n := store.Nodes.Find(v, id.String()); n != nil {
			name = n.Env
		}
	case strings.Contains(path, "{op}"):
		if op := store.Operations.Find(v, param("op")); op != nil {
			name = op.Env
		}
	}
	if e := store.Envs.Find(v, string(name)); e == nil || name == env.System {
		return ""
	}
	return name
}

// record is who does what, as the audit keeps it: what a guest does is read by both accounts.
func (c caller) record(what, object string) operator.Audit {
	a := operator.Audit{Who: c.Name, Account: c.Account, User: c.User, From: c.from, What: what, Object: object}
	if c.Acting != nil {
		a.By = c.Acting.By
	}
	if g := c.guest; g != nil {
		a.Who, a.Account, a.With = g.Name, g.Account, c.Account
	}
	return a
}

// recordOf is record of something of an account, which reads of it where those who run the cluster do it.
func (c caller) recordOf(of wire.Account, what, object string) operator.Audit {
	a := c.record(what, object)
	if of = of.Owner(); c.Account.Owner() == wire.AdminAccount && of != wire.AdminAccount {
		a.With = of
	}
	return a
}

// asker is who asks, as an operation names them: to another account a guest is their account alone.
func (c caller) asker() string {
	if c.guest != nil {
		return c.Name
	}
	return c.Acted()
}

// own is the account whose people ask, whosever environment it is about: what is open of theirs counts as theirs.
func (c caller) own() wire.Account {
	if c.guest != nil {
		return c.guest.Account
	}
	return c.Account
}

// stays is nil in a transaction in which a guest still may what they were let in for.
func (c caller) stays(tx *store.Tx, name wire.EnvName) error {
	if c.guest == nil || shares.Holds(tx, name, c.guest.Account, c.guest.share) {
		return nil
	}
	return noEnvironment(name)
}

// cancels is nil in a transaction in which the caller may end an operation: a guest what their own account began, as long as they are one.
func (c caller) cancels(tx *store.Tx, op store.Operation) error {
	if c.guest != nil && op.By != c.asker() {
		return operator.NewProblem(operator.Denied, "operations/"+string(op.ID),
			fmt.Sprintf("account %s began it; a guest cancels what their own account began", c.Account), "ask account "+string(c.Account))
	}
	return c.stays(tx, op.Env)
}

// while is ctx for as long as a caller sees what something that is held open is about: a guest until it is not shared any more, people of
// its own account until it is another's. Those who run the cluster see all.
func (c caller) while(ctx context.Context, object string, sees func(world.World) bool) (context.Context, context.CancelFunc) {
	if c.Account == wire.AdminAccount && c.guest == nil {
		return ctx, func() {}
	}
	ctx, end := context.WithCancelCause(ctx)
	go func() {
		for {
			w := c.world()
			if !sees(w) {
				end(operator.NewProblem(operator.Denied, object, "it is not there for this account any more", "see hnctl env list"))
				return
			}
			select {
			case <-w.Over():
			case <-ctx.Done():
				return
			}
		}
	}()
	return ctx, func() { end(context.Canceled) }
}

// worldOf is the world that lists are made of: what is shared with the caller's account is in it too.
func (s *Server) worldOf(c caller) world.World {
	w := c.world()
	if c.Envs != nil || c.Account == wire.AdminAccount {
		return w
	}
	return w.Sharing(shares.With(w.View, c.Account))
}
