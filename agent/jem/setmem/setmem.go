// Package setmem is JEM's module that tunes servers to what a container may use, after that has changed.
//
// Owns: which values, the drop-ins that say them, the check after it and the way back.
// In: memory and processors, as the host says or as can be seen; the servers that are here.
// Out: a file of its own for each server, which that takes; what must be started anew for it.
// Never: changes a file that somebody else wrote, or leaves one that its server refuses.
package setmem

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"hardnode.dev/agent/jem/contract"
	"hardnode.dev/agent/jem/file"
	"hardnode.dev/agent/jem/program"
	"hardnode.dev/agent/jem/server"
	"hardnode.dev/agent/jem/service"
	"hardnode.dev/agent/jem/template"
	"hardnode.dev/internal/wire/jem"
)

// Module is the module's table.
var Module = contract.Module{Name: "setmem", Help: "servers in the size of the container", Actions: []contract.Action{
	{Name: "show", Help: "what each server that is here would be told", Reads: true, Begin: contract.Only(show)},
	{Name: "apply", Args: "[--restart|--resized]", Limit: 5 * time.Minute, Begin: apply, Frees: true,
		Help: "tell nginx, PHP-FPM, PostgreSQL, MariaDB, Java and Node how much there is; --restart: start anew what must be; " +
			"--resized: only if the template says so, and as it does"},
	{Name: "remove", Args: "[--restart]", Limit: 5 * time.Minute, Begin: remove, Frees: true,
		Help: "take away what apply wrote"},
}}

func show(_ context.Context, c *contract.Call) error {
	s, err := sizeOf(c)
	if err != nil {
		return err
	}
	c.Reply.Columns = []string{"server", "setting", "value", "file", "state"}
	list := found(c, s)
	for _, t := range list {
		state := "to be written"
		switch raw, err := file.Read(filepath.Join(c.Root, t.path), maxFile); {
		case t.path == "":
			state = "left: " + t.why
		case err == nil && string(raw) == t.content():
			state = "in place"
		}
		for _, v := range t.settings {
			c.Row(t.server, v.name, v.value, t.path, state)
		}
		if len(t.settings) == 0 {
			c.Row(t.server, "", "", "", state)
		}
	}
	c.Done("%d MiB and %d processors: %s", s.memory/mib, s.cpus, names(list))
	return nil
}

// names are the servers of targets, each once.
func names(list []target) string {
	var all []string
	for _, t := range list {
		if !slices.Contains(all, t.server) {
			all = append(all, t.server)
		}
	}
	if all == nil {
		return "no server that JEM can tune is here"
	}
	return strings.Join(all, ", ")
}

func apply(c *contract.Call) (contract.Steps, error) {
	a, err := c.Parse(0, 0, "restart", "resized")
	ch := change{c: c, restart: a.Has("restart"), asked: a.Has("restart")}
	if a.Has("resized") {
		t, err := template.Of(c.Root)
		switch {
		case err != nil:
			return contract.Steps{}, err
		case t.SetMem == "":
			c.Done("left: the template does not say that its servers follow the node's size")
			return contract.Steps{}, nil
		}
		ch.restart = t.SetMem == jem.SetMemRestart
	}
	return ch.steps(func() error {
		s, err := sizeOf(c)
		if err != nil {
			return err
		}
		for _, t := range found(c, s) {
			if t.path == "" {
				ch.left = append(ch.left, t)
				continue
			}
			ch.add(t, []byte(t.content()))
		}
		if len(ch.list)+len(ch.left) == 0 {
			return &jem.Error{Code: "unavailable", Reason: "no server that JEM can tune is here",
				Next: "it knows nginx, PHP-FPM, PostgreSQL, MariaDB, Java and Node"}
		}
		return nil
	}), err
}

func remove(c *contract.Call) (contract.Steps, error) {
	a, err := c.Parse(0, 0, "restart")
	ch := change{c: c, restart: a.Has("restart")}
	return ch.steps(func() error {
		for _, t := range found(c, size{memory: 1 << 30, cpus: 1}) {
			if _, err := os.Lstat(filepath.Join(c.Root, t.path)); t.path != "" && err == nil {
				ch.add(t, nil)
			}
		}
		return nil
	}), err
}

// change is that of several drop-ins at once.
type change struct {
	c       *contract.Call
	restart bool
	asked   bool // for a restart by whoever calls, so of what has been told already too: it may run since before
	list    []edit
	left    []target
}

// edit is that of one drop-in; nil is none.
type edit struct {
	target
	before, after []byte
	done          bool
	told          bool // it has been reloaded or restarted with the new one
}

func (ch *change) add(t target, after []byte) {
	ch.list = append(ch.list, edit{target: t, after: after})
}

func (ch *change) steps(plan func() error) contract.Steps {
	return contract.Steps{
		Pre: func(context.Context) error {
			if err := plan(); err != nil {
				return err
			}
			for i := range ch.list {
				e := &ch.list[i]
				raw, err := file.Read(filepath.Join(ch.c.Root, e.path), maxFile)
				if err != nil && !errors.Is(err, fs.ErrNotExist) {
					return &jem.Error{Code: "conflict", Reason: err.Error()}
				}
				e.before = raw
			}
			ch.list = slices.DeleteFunc(ch.list, func(e edit) bool {
				return e.after != nil && string(e.before) == string(e.after) && !(ch.asked && e.restarts)
			})
			return nil
		},
		Do: func(context.Context) error {
			for i := range ch.list {
				if err := ch.c.Was(filepath.Join(ch.c.Root, ch.list[i].path)); err != nil {
					return err
				}
				ch.list[i].done = true
				if err := ch.put(ch.list[i].path, ch.list[i].after); err != nil {
					return err
				}
			}
			return nil
		},
		Post: ch.tell,
		Undo: func(ctx context.Context) (err error) {
			for _, e := range ch.list {
				if e.done {
					err = errors.Join(err, ch.put(e.path, e.before))
				}
			}
			for _, e := range ch.list {
				if e.told {
					err = errors.Join(err, ch.count(ctx, e.target))
				}
			}
			return err
		},
	}
}

// put writes a drop-in, or takes it away.
func (ch *change) put(path string, text []byte) error {
	at := filepath.Join(ch.c.Root, path)
	if text == nil {
		if err := os.Remove(at); !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	}
	if strings.HasPrefix(path, "/etc/systemd/") {
		if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
			return err
		}
	}
	return file.Write(at, text, file.Owned{Mode: 0o644, Force: true})
}

// tell has each server check its drop-in, and then go by it.
func (ch *change) tell(ctx context.Context) error {
	for _, e := range ch.list {
		if err := e.verify(ctx, ch.c); err != nil {
			return err
		}
	}
	var did, want []string
	for i := range ch.list {
		e := &ch.list[i]
		waits := e.restarts && !ch.restart
		if waits && e.programs == nil {
			want = append(want, e.server)
			continue
		}
		e.told = ch.restart // if that fails it goes by the old one again
		if err := ch.count(ctx, e.target); err != nil && ch.restart {
			return err
		} else if err != nil { // it runs, and nobody here can tell it
			want = append(want, e.server)
			continue
		}
		if e.told = true; waits { // what is started from now on has it
			want = append(want, e.server)
			continue
		}
		did = append(did, e.server)
	}
	var says []string
	if len(did) > 0 {
		says = append(says, strings.Join(did, ", ")+": told")
	}
	if len(want) > 0 {
		says = append(says, strings.Join(want, ", ")+": written, counts after a restart (--restart)")
	}
	for _, t := range ch.left {
		says = append(says, t.server+": left, "+t.why)
	}
	if says == nil {
		says = []string{"nothing is to be changed"}
	}
	ch.c.Done("%s", strings.Join(says, "; "))
	return nil
}

// count has a server that runs go by its files.
func (ch *change) count(ctx context.Context, t target) error {
	if t.programs != nil {
		err := t.variable(ctx, ch.c)
		for _, unit := range service.UnitsOf(ch.c.Root, t.programs...) {
			if err == nil && ch.restart {
				err = service.Restart(ctx, ch.c, unit)
			}
		}
		if err != nil {
			return fmt.Errorf("%s: %w", t.server, err)
		}
		return nil
	}
	s, _ := server.ByName(t.server)
	if !program.Running(ch.c.Root, s.Comms...) {
		return nil
	}
	do := service.Reload
	if t.restarts {
		do = service.Restart
	}
	if err := do(ctx, ch.c, s.Called(ch.c.Root)); err != nil {
		return fmt.Errorf("%s: %w", t.server, err)
	}
	return nil
}

// variable has systemd give what it starts next the variable that the drop-in says, which it reads itself at the next boot.
func (t target) variable(ctx context.Context, c *contract.Call) error {
	raw, err := file.Read(filepath.Join(c.Root, t.path), maxFile)
	var said string
	if _, set, ok := strings.Cut(string(raw), "DefaultEnvironment=\""); err == nil && ok {
		value, _, _ := strings.Cut(set, "\"")
		said, err = service.SetVariables(ctx, c.Root, []string{value})
	} else {
		said, err = service.UnsetVariables(ctx, c.Root, []string{t.settings[0].name})
	}
	if err != nil {
		c.Said(said)
		return &jem.Error{Code: "unavailable", Reason: err.Error(), Next: "see what it wrote"}
	}
	return nil
}
