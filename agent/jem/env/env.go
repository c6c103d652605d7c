// Package env is JEM's module of the variables that services of a full OS are started with.
//
// Owns: /etc/jem/env: a variable a line; the file by which systemd gives them to every service.
// In: names and values.
// Out: variables that services started from now on have, after a boot too.
// Never: says that an app container's program has a variable which only its environment could give it.
package env

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"hardnode.dev/agent/jem/contract"
	"hardnode.dev/agent/jem/file"
	"hardnode.dev/agent/jem/program"
	"hardnode.dev/agent/jem/service"
	"hardnode.dev/internal/wire/form"
	"hardnode.dev/internal/wire/jem"
)

// The files: what JEM keeps, and what systemd reads when it starts (systemd-system.conf(5), DefaultEnvironment).
const (
	kept   = "etc/jem/env"
	dropIn = "etc/systemd/system.conf.d/50-jem-env.conf"
)

// Module is the module's table.
var Module = contract.Module{Name: "env", Help: "variables of services", Actions: []contract.Action{
	{Name: "list", Help: "variables that were set here, and those of the container's first process", Reads: true,
		Begin: contract.Only(list)},
	{Name: "set", Args: "NAME=VALUE…", Help: "have services that are started from now on see variables", Lacks: lacks, Begin: set},
	{Name: "unset", Args: "NAME…", Help: "take variables away again", Lacks: lacks, Frees: true, Begin: unset},
}}

func lacks(root string) string {
	if service.InitOf(root) != jem.InitSystemd {
		return "service manager that gives variables to services: those of an app container's program come from its environment's topology"
	}
	if program.Find(root, "systemctl") == "" {
		return "systemctl"
	}
	return ""
}

const (
	maxFile  = 128 << 10
	maxValue = 16 << 10
	maxVars  = 500
)

var nameForm = form.New(`^[A-Za-z_][A-Za-z0-9_]{0,127}$`)

// parse reads NAME=VALUE lines; what is none is left out.
func parse(raw []byte) map[string]string {
	vars := map[string]string{}
	for line := range strings.Lines(strings.ToValidUTF8(string(raw), "?")) {
		name, value, ok := strings.Cut(strings.TrimSuffix(line, "\n"), "=")
		if ok && nameForm.MatchString(name) && len(vars) < maxVars {
			vars[name] = value
		}
	}
	return vars
}

func load(root string) (map[string]string, error) {
	raw, err := file.Read(filepath.Join(root, kept), maxFile)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	return parse(raw), nil
}

func list(_ context.Context, c *contract.Call) error {
	c.Reply.Columns = []string{"name", "value", "of"}
	vars, err := load(c.Root)
	if err != nil {
		return err
	}
	for _, n := range slices.Sorted(maps.Keys(vars)) {
		c.Row(n, vars[n], "jem")
	}
	if raw, err := file.Read(filepath.Join(c.Root, "proc/1/environ"), maxFile); err == nil {
		first := parse([]byte(strings.ReplaceAll(string(raw), "\x00", "\n")))
		for _, n := range slices.Sorted(maps.Keys(first)) {
			c.Row(n, first[n], "container")
		}
	}
	c.Done("%d variables", len(c.Reply.Items))
	return nil
}

// quoted is a value as systemd reads it in double quotes; its % would stand for something else.
func quoted(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, `%`, `%%`).Replace(s) + `"`
}

// store writes both files, whole.
func store(root string, vars map[string]string) error {
	var lines, conf strings.Builder
	conf.WriteString("# made by jem env\n[Manager]\n")
	for _, n := range slices.Sorted(maps.Keys(vars)) {
		fmt.Fprintf(&lines, "%s=%s\n", n, vars[n])
		fmt.Fprintf(&conf, "DefaultEnvironment=%s\n", quoted(n+"="+vars[n]))
	}
	for name, text := range map[string]string{kept: lines.String(), dropIn: conf.String()} {
		at := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
			return err
		}
		if err := file.Write(at, []byte(text), file.Owned{Mode: 0o600, Force: true}); err != nil {
			return err
		}
	}
	return nil
}

// change stores what edit makes of the variables, and tells systemd.
func change(c *contract.Call, tell func(ctx context.Context, root string, args []string) (said string, err error),
	edit func(map[string]string) error, done string) contract.Steps {
	var before, after map[string]string
	return contract.Steps{
		Pre: func(context.Context) (err error) {
			if before, err = load(c.Root); err != nil {
				return err
			}
			after = maps.Clone(before)
			return edit(after)
		},
		Do: func(context.Context) error { return store(c.Root, after) },
		Post: func(ctx context.Context) error {
			said, err := tell(ctx, c.Root, c.Args)
			if err != nil {
				c.Said(said)
				return &jem.Error{Code: "unavailable", Reason: err.Error(), Next: "see what it wrote"}
			}
			c.Done("%s; services see it when they are started next", done)
			return nil
		},
		Undo: func(context.Context) error { return store(c.Root, before) },
	}
}

func set(c *contract.Call) (contract.Steps, error) {
	if len(c.Args) == 0 || len(c.Args) > maxVars {
		return contract.Steps{}, contract.Invalid("want NAME=VALUE, once to %d times", maxVars)
	}
	for _, a := range c.Args {
		name, value, ok := strings.Cut(a, "=")
		switch {
		case !ok || !nameForm.MatchString(name):
			return contract.Steps{}, contract.Invalid("variable %.60q: want NAME=VALUE, a name of letters, digits and _", name)
		case len(value) > maxValue || strings.ContainsFunc(value, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }):
			return contract.Steps{}, contract.Invalid("the value of %s has more than %d bytes or a control character", name, maxValue)
		}
	}
	return change(c, service.SetVariables, func(vars map[string]string) error {
		for _, a := range c.Args {
			name, value, _ := strings.Cut(a, "=")
			vars[name] = value
		}
		size := 0
		for n, v := range vars {
			size += len(n) + len(v) + 2
		}
		if len(vars) > maxVars || size > maxFile {
			return &jem.Error{Code: "exhausted", Reason: fmt.Sprintf("there would be more than %d variables, or %d bytes of them",
				maxVars, maxFile),
				Next: "unset some"}
		}
		return nil
	}, fmt.Sprintf("%d variables are set", len(c.Args))), nil
}

func unset(c *contract.Call) (contract.Steps, error) {
	if len(c.Args) == 0 {
		return contract.Steps{}, contract.Invalid("want names of variables")
	}
	for _, n := range c.Args {
		if !nameForm.MatchString(n) {
			return contract.Steps{}, contract.Invalid("variable %.60q: is no name", n)
		}
	}
	return change(c, service.UnsetVariables, func(vars map[string]string) error {
		for _, n := range c.Args {
			if _, ok := vars[n]; !ok {
				return &jem.Error{Code: "not_found", Reason: "variable " + n + " was not set here", Next: "jem env list"}
			}
			delete(vars, n)
		}
		return nil
	}, fmt.Sprintf("%d variables are gone", len(c.Args))), nil
}
