// Package service tells what runs in this container and what it logged.
//
// Owns: the two ways to know it: systemd over D-Bus and its journal, or /proc.
// In: a unit's name, a number of lines; the container's own /proc, bus and journalctl.
// Out: jem.Reply; a *jem.Error for what the caller can put right.
// Never: changes anything, or believes that a unit's name is harmless.
package service

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

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

// Status is the state of one unit or of all; in an app container, of its processes.
func Status(ctx context.Context, args []string) (jem.Reply, error) {
	c, err := parse(args)
	if err != nil {
		return jem.Reply{}, err
	}
	var list []jem.Service
	if InitOf("/") == jem.InitSystemd {
		list, err = units(ctx, unitOf(c.unit))
	} else {
		list, err = processes(os.DirFS("/proc"), c.unit)
	}
	if err == nil && len(list) == 0 && c.unit != "" {
		err = &jem.Error{Code: "not_found", Reason: fmt.Sprintf("nothing named %q runs here", c.unit),
			Next: "jem service status lists what does"}
	}
	return jem.Reply{Services: list}, err
}

// Logs is the last lines of a unit's journal. An app container has none: the host keeps its output.
func Logs(ctx context.Context, args []string) (jem.Reply, error) {
	c, err := parse(args)
	if err != nil {
		return jem.Reply{}, err
	}
	if InitOf("/") != jem.InitSystemd {
		return jem.Reply{}, &jem.Error{Code: "unavailable",
			Reason: "this container has no journal: the host keeps the output of its program",
			Next:   "ask for the container's log instead"}
	}
	lines, err := journal(ctx, unitOf(c.unit), c.tail)
	return jem.Reply{Lines: lines}, err
}
