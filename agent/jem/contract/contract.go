// Package contract is how every action of JEM is carried out: pre, do, post, and cleanup whatever came of them.
//
// Owns: the order of the steps, the time limit, the queue of a container's calls, kept answers, the refusal when the disk is full, hooks,
// what a call that was cut off had changed.
// In: the table of modules, the call's arguments, what the host told.
// Out: one jem.Reply and the exit status that goes with it.
// Never: begins an action whose pre step failed, does a thing twice under one key, or stays after its answer.
package contract

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"hardnode.dev/agent/jem/hook"
	"hardnode.dev/internal/wire/jem"
)

// Module is a set of actions on one thing.
type Module struct {
	Name    string
	Help    string
	Actions []Action
}

// Action is one thing that can be asked for.
type Action struct {
	Name string
	Args string // for people: "UNIT [--tail N]"
	Help string
	// Reads: it changes nothing. It waits for nobody, is never kept under a key, and has no hooks.
	Reads bool
	// Frees: it makes room, so it is done on a full disk too.
	Frees bool
	// Limit is how long its steps may take together; 0 is a minute.
	Limit time.Duration
	// Lacks says what this container has not that the action needs; "" is nothing. Nil: it needs nothing.
	Lacks func(root string) string
	// Begin reads the arguments and changes nothing. Its error is the caller's mistake.
	Begin func(c *Call) (Steps, error)
}

// Steps are what an action does, in this order. Those that are nil are left out.
type Steps struct {
	Pre  func(ctx context.Context) error // checks; an error ends the call with nothing done
	Do   func(ctx context.Context) error
	Post func(ctx context.Context) error // checks what Do did
	Undo func(ctx context.Context) error // takes back what Do did, when Do, Post or the post hook failed
	// Cleanup takes away what only served the call; it is called whenever Pre was begun, last.
	Cleanup func()
}

// Call is one call of an action. Steps write what they have to say into Reply.
type Call struct {
	Root    string // the container's root: "/"; tests have others
	Args    []string
	In      io.Reader // what the caller sends along; may be empty
	Told    jem.Told
	Now     func() time.Time
	Reply   jem.Reply
	Hooks   hook.Call // what hooks are given; Begin may add to it
	After   func()    // done when the answer has been printed, e.g. what ends this container
	module  Module
	action  Action
	modules []Module
	kept    int // places that Was keeps
}

// Only is an action without any other step.
func Only(do func(ctx context.Context, c *Call) error) func(*Call) (Steps, error) {
	return func(c *Call) (Steps, error) {
		if len(c.Args) > 0 {
			return Steps{}, Invalid("takes no arguments, got %q", c.Args)
		}
		return Steps{Do: func(ctx context.Context) error { return do(ctx, c) }}, nil
	}
}

// Invalid is the error of a wrong argument.
func Invalid(format string, args ...any) error {
	return &jem.Error{Code: "invalid", Reason: fmt.Sprintf(format, args...)}
}

// Done says what was done.
func (c *Call) Done(format string, args ...any) { c.Reply.Message = fmt.Sprintf(format, args...) }

// Row adds an item with the values of the columns, in their order.
func (c *Call) Row(values ...string) {
	item := make(map[string]string, len(values))
	for i, v := range values {
		if v != "" && i < len(c.Reply.Columns) {
			item[c.Reply.Columns[i]] = v
		}
	}
	c.Reply.Items = append(c.Reply.Items, item)
}

// Said adds what a program or hook wrote.
func (c *Call) Said(text string) {
	c.Reply.Said += text
	if n := len(c.Reply.Said); n > maxSaid {
		c.Reply.Said = "[…]" + strings.ToValidUTF8(c.Reply.Said[n-maxSaid:], "")
	}
}

// maxSaid is how much of what programs wrote one answer holds, in bytes.
const maxSaid = 64 << 10

// defaultLimit is that of actions without one of their own; cleanup has its own time besides.
const (
	defaultLimit = time.Minute
	undoWithin   = time.Minute
)

// Serve carries one call out. status is JEM's exit status: 0, 1 when the action failed, 2 when the call was wrong.
func Serve(ctx context.Context, modules []Module, argv []string, c *Call) (status int) {
	c.modules = modules
	argv = slices.DeleteFunc(slices.Clone(argv), func(a string) bool { return a == "--json" }) // there is no other way to answer
	err := c.find(argv)
	c.Reply.Module, c.Reply.Action = c.module.Name, c.action.Name
	if err == nil {
		err = c.serve(ctx)
	}
	c.Reply.Version, c.Reply.Code = jem.Version, jem.CodeOK
	if err == nil {
		return 0
	}
	c.After, c.Reply.Ends = nil, false
	if !errors.As(err, &c.Reply.Error) {
		c.Reply.Error = &jem.Error{Code: "internal", Reason: err.Error()}
	}
	c.Reply.Code, c.Reply.Message = c.Reply.Error.Code, fmt.Sprintf("%.4000s", c.Reply.Error.Reason)
	if c.Reply.Code == "invalid" {
		return 2
	}
	return 1
}

// find looks the action up by its exact name.
func (c *Call) find(argv []string) error {
	if len(argv) == 1 && argv[0] == "list" {
		argv = []string{"jem", "list"}
	}
	if len(argv) < 2 {
		return &jem.Error{Code: "invalid", Reason: "a module and an action are needed", Next: "jem list shows what there is"}
	}
	var others []string
	for _, m := range append(c.modules, own) {
		if m.Name != argv[0] {
			continue
		}
		for _, a := range m.Actions {
			if a.Name == argv[1] {
				c.module, c.action, c.Args = m, a, argv[2:]
				return nil
			}
			others = append(others, a.Name)
		}
	}
	if others != nil {
		return &jem.Error{Code: "invalid", Reason: fmt.Sprintf("module %s has no action %q", argv[0], argv[1]),
			Next: "it has: " + strings.Join(others, ", ")}
	}
	return &jem.Error{Code: "invalid", Reason: fmt.Sprintf("jem has no module %q", argv[0]), Next: "jem list shows what there is"}
}

// serve is one call of a known action.
func (c *Call) serve(ctx context.Context) error {
	limit := c.action.Limit
	if limit == 0 {
		limit = defaultLimit
	}
	if c.action.Lacks != nil {
		if lacks := c.action.Lacks(c.Root); lacks != "" {
			return &jem.Error{Code: "unavailable", Reason: "this container has no " + lacks,
				Next: "jem list shows what can be done here"}
		}
	}
	c.Hooks.Module, c.Hooks.Action = c.module.Name, c.action.Name
	steps, err := c.action.Begin(c)
	if err != nil {
		return err
	}
	if c.action.Reads {
		ctx, cancel := context.WithTimeout(ctx, limit)
		defer cancel()
		return c.carry(ctx, limit, steps)
	}
	place, err := c.queue(ctx)
	if err != nil {
		return err
	}
	defer place.Close()
	if err := c.mend(); err != nil && !c.action.Frees {
		return err
	}
	if kept, err := c.keptAnswer(); kept || err != nil {
		return err
	}
	if c.Told.Full() && !c.action.Frees {
		return &jem.Error{Code: "exhausted",
			Reason: fmt.Sprintf("%d of this container's %d MiB of disk are used, 97 %% or more: nothing is begun that may need room",
				c.Told.DiskUsed>>20, c.Told.DiskLimit>>20),
			Next: "make room (jem logs empty, jem deploy prune), or give the container more disk"}
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	if err := c.carry(ctx, limit, steps); err != nil {
		return err
	}
	if err := c.whole(); err != nil {
		return err
	}
	return c.keepAnswer()
}

// carry does the steps.
func (c *Call) carry(ctx context.Context, limit time.Duration, s Steps) (err error) {
	if s.Cleanup != nil {
		defer s.Cleanup()
	}
	step := func(do func(context.Context) error) {
		if err != nil || do == nil {
			return
		}
		err = do(ctx)
		if err != nil && errors.Is(ctx.Err(), context.DeadlineExceeded) {
			err = &jem.Error{Code: "unavailable", Reason: fmt.Sprintf("%s %s did not end within %s: %v", c.module.Name, c.action.Name,
				limit, err),
				Next: "see what holds it up in the container, then try again"}
		}
	}
	hooks := func(when hook.When) func(context.Context) error {
		if c.action.Reads {
			return nil
		}
		return func(ctx context.Context) error {
			said, err := hook.Run(ctx, c.Root, c.Hooks, when)
			c.Said(said)
			return err
		}
	}
	step(hooks(hook.Pre))
	step(s.Pre)
	if err != nil {
		return err
	}
	step(s.Do)
	step(s.Post)
	step(hooks(hook.Post))
	if err == nil || s.Undo == nil {
		return err
	}
	within, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoWithin)
	defer cancel()
	if uerr := s.Undo(within); uerr != nil {
		return fmt.Errorf("%v; and it could not be taken back: %v", err, uerr)
	}
	if werr := c.whole(); werr != nil {
		return fmt.Errorf("%v; what was done is taken back, and that can't be noted: %v", err, werr)
	}
	var e *jem.Error
	if !errors.As(err, &e) {
		e = &jem.Error{Code: "internal", Reason: err.Error()}
	}
	return &jem.Error{Code: e.Code, Reason: e.Reason + "; what was done is taken back", Next: e.Next}
}

// own is the module of JEM itself.
var own = Module{"jem", "what can be asked for", []Action{
	{Name: "list", Help: "every action, and what this container lacks for it", Reads: true, Begin: Only(list)},
}}

func list(_ context.Context, c *Call) error {
	c.Reply.Columns = []string{"module", "action", "arguments", "lacks", "does"}
	able, all := 0, 0
	for _, m := range c.modules {
		for _, a := range m.Actions {
			lacks := ""
			if a.Lacks != nil {
				lacks = a.Lacks(c.Root)
			}
			if all++; lacks == "" {
				able++
			}
			c.Row(m.Name, a.Name, a.Args, lacks, a.Help)
		}
	}
	c.Done("%d of %d actions can be done here", able, all)
	return nil
}
