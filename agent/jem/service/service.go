// Package service is JEM's module of what runs in this container: it is shown, started, stopped and told to read its files again.
//
// Owns: the ways to do it: systemd over D-Bus and its journal, OpenRC's programs, SysV's scripts, or the one program that the host
// supervises.
// In: a unit's name, a number of lines; the container's own /proc, bus, journalctl and rc-service.
// Out: what is there and what was done; a *jem.Error for what the caller can put right.
// Never: believes that a unit's name is harmless, or says that a service runs which systemd says has failed.
package service

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"hardnode.dev/agent/jem/contract"
	"hardnode.dev/agent/jem/program"
	"hardnode.dev/internal/wire/form"
	"hardnode.dev/internal/wire/jem"
)

// InitOf is what PID 1 is, by systemd's own sign (sd_booted(3)).
func InitOf(root string) jem.Init {
	if st, err := os.Lstat(filepath.Join(root, "run/systemd/system")); err == nil && st.IsDir() {
		return jem.InitSystemd
	}
	return jem.InitApp
}

// unitName is what systemd allows in a unit's name (systemd.unit(5)), a leading hyphen left out.
var unitName = form.New(`^[A-Za-z0-9:_.\\@][A-Za-z0-9:_.\\@-]{0,254}$`)

// call is the arguments both actions take.
type call struct {
	unit string
	tail int // lines
}

// Most lines of a journal in one reply, and the number without --tail.
const (
	maxTail     = 10000
	defaultTail = 100
)

func parse(args []string) (call, error) {
	c := call{tail: defaultTail}
	invalid := func(reason, next string) (call, error) {
		return call{}, &jem.Error{Code: "invalid", Reason: reason, Next: next}
	}
	for i := 0; i < len(args); i++ {
		switch a := args[i]; {
		case a == "--tail" && i+1 < len(args):
			i++
			n, err := strconv.Atoi(args[i])
			if err != nil || n < 1 || n > maxTail {
				return invalid(fmt.Sprintf("--tail %q: is no number of lines", args[i]), fmt.Sprintf("use 1 to %d", maxTail))
			}
			c.tail = n
		case strings.HasPrefix(a, "-"):
			return invalid(fmt.Sprintf("option %q: is not known", a), "use --tail N")
		case c.unit != "":
			return invalid(fmt.Sprintf("argument %q: one unit is enough", a), "")
		case !unitName.MatchString(a):
			return invalid(fmt.Sprintf("unit %q: is no unit name", a), "use a name such as nginx.service")
		default:
			c.unit = a
		}
	}
	return c, nil
}

// unitOf completes a name as systemctl does.
func unitOf(name string) string {
	if name == "" || strings.Contains(name, ".") {
		return name
	}
	return name + ".service"
}

// Module is the module's table.
var Module = contract.Module{Name: "service", Help: "what runs in the container", Actions: []contract.Action{
	{Name: "status", Args: "[UNIT]", Help: "services of a full OS, processes of an app container", Reads: true, Begin: status},
	{Name: "logs", Args: "[UNIT] [--tail N]", Help: "journal of a unit, or of all", Reads: true, Lacks: lacksJournal, Begin: logs},
	change("start", "start a unit"),
	change("stop", "stop a unit"),
	change("restart", "stop a unit if it runs, and start it; in an app container the one program, which the host starts anew"),
	change("reload", "have a unit, or the one program of an app container, read its configuration again"),
	change("enable", "start a unit with the container from now on"),
	change("disable", "do not start a unit with the container any more"),
}}

// change is an action that changes a unit.
func change(verb, help string) contract.Action {
	return contract.Action{Name: verb, Args: "[UNIT]", Help: help, Frees: true, Limit: 5 * time.Minute,
		Begin: func(c *contract.Call) (contract.Steps, error) { return begin(c, verb) }}
}

// status is the state of one unit or of all; in an app container, of its processes.
func status(c *contract.Call) (contract.Steps, error) {
	want, err := parse(c.Args)
	return contract.Steps{Do: func(ctx context.Context) (err error) {
		switch {
		case InitOf(c.Root) == jem.InitSystemd:
			c.Reply.Services, err = units(ctx, unitOf(want.unit))
		case Scripts(c.Root):
			c.Reply.Services, err = scripts(ctx, c, want.unit)
		default:
			c.Reply.Services, err = processes(os.DirFS(filepath.Join(c.Root, "proc")), want.unit)
		}
		if err == nil && len(c.Reply.Services) == 0 && want.unit != "" {
			err = &jem.Error{Code: "not_found", Reason: fmt.Sprintf("nothing named %q runs here", want.unit),
				Next: "jem service status lists what does"}
		}
		return err
	}}, err
}

func lacksJournal(root string) string {
	if InitOf(root) != jem.InitSystemd {
		return "journal: the host keeps the output of its program; see hnctl node logs"
	}
	if program.Find(root, "journalctl") == "" {
		return "journalctl"
	}
	return ""
}

// logs is the last lines of a unit's journal.
func logs(c *contract.Call) (contract.Steps, error) {
	want, err := parse(c.Args)
	return contract.Steps{Do: func(ctx context.Context) (err error) {
		c.Reply.Lines, err = journal(ctx, unitOf(want.unit), want.tail)
		return err
	}}, err
}

// begin chooses the way to change a unit by what runs here.
func begin(c *contract.Call, verb string) (contract.Steps, error) {
	want, err := parse(c.Args)
	if err != nil {
		return contract.Steps{}, err
	}
	switch {
	case InitOf(c.Root) == jem.InitSystemd:
		if want.unit == "" {
			return contract.Steps{}, &jem.Error{Code: "invalid", Reason: "a unit is needed", Next: "jem service status lists them"}
		}
		return bySystemd(c, unitOf(want.unit), verb), nil
	case Scripts(c.Root):
		if want.unit == "" {
			return contract.Steps{}, &jem.Error{Code: "invalid", Reason: "a service is needed", Next: "see /etc/init.d"}
		}
		return byScripts(c, want.unit, verb), nil
	}
	return byHost(c, want.unit, verb)
}

// Reload has whoever serves from a configuration read it again, for actions that changed it: the unit, or the one program. server is
// the program's name, such as nginx; it is an error if it does not run.
func Reload(ctx context.Context, c *contract.Call, server string) error {
	return do(ctx, c, server, "reload")
}

// Restart has it start anew. An app container ends with it, when the answer has been given.
func Restart(ctx context.Context, c *contract.Call, server string) error {
	return do(ctx, c, server, "restart")
}

// do is a change in the midst of another action.
func do(ctx context.Context, c *contract.Call, server, verb string) error {
	inner := &contract.Call{Root: c.Root, Args: []string{server}, Now: c.Now}
	steps, err := begin(inner, verb)
	if err != nil {
		return err
	}
	if steps.Cleanup != nil {
		defer steps.Cleanup()
	}
	for _, do := range []func(context.Context) error{steps.Pre, steps.Do, steps.Post} {
		if do == nil {
			continue
		}
		if err := do(ctx); err != nil {
			return err
		}
	}
	if inner.After != nil {
		c.After, c.Reply.Ends = inner.After, inner.Reply.Ends
	}
	return nil
}
