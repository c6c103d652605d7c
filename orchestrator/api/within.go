package api

import (
	"fmt"
	"strings"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/orchestrator/ops/progress"
)

// ofAll are the operations without an environment, a node or an operation in their path that a token for some environments may ask for:
// what they answer is of these alone.
var ofAll = map[string]bool{"listEnvironments": true, "listNodes": true, "listOperations": true, "getVersion": true,
	"getUsage": true}

// notWithin are those of an environment that reach beyond it: into others of its group, and to other accounts.
var notWithin = map[string]bool{"groupEnvironment": true, "listEnvironmentShares": true, "shareEnvironment": true,
	"unshareEnvironment": true, "transferEnvironment": true}

// within is nil unless the caller's token is for some environments and this is about something else: what is in others is not there for it.
func within(c caller, r route, param func(string) string) *operator.Problem {
	if c.Envs == nil {
		return nil
	}
	w := c.world()
	for name, seen := range map[string]func(string) *operator.Problem{
		"env": func(s string) *operator.Problem {
			if _, ok := w.Environment(wire.EnvName(s)); !ok {
				return noEnvironment(wire.EnvName(s))
			}
			return nil
		},
		"ctid": func(s string) *operator.Problem {
			id, err := wire.ParseCTID(s)
			if err != nil {
				return operator.NewProblem(operator.Invalid, "ctid", err.Error(), "see hnctl node list")
			}
			if _, ok := w.Node(id); !ok {
				return noNode(id)
			}
			return nil
		},
		"op": func(s string) *operator.Problem {
			if _, ok := w.Operation(wire.OperationID(s)); !ok {
				return progress.NoOperation(wire.OperationID(s))
			}
			return nil
		},
	} {
		if strings.Contains(r.path, "{"+name+"}") && !notWithin[r.id] {
			return seen(param(name))
		}
	}
	if ofAll[r.id] {
		return nil
	}
	reason := fmt.Sprintf("token %q is for environments %s alone", c.Name, wire.JoinEnvNames(c.Envs, ", "))
	return operator.NewProblem(operator.Denied, r.path, reason, "use a token that is for all: hnctl token create NAME --scope …")
}
