package service

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"hardnode.dev/agent/jem/contract"
	"hardnode.dev/agent/jem/file"
	"hardnode.dev/agent/jem/program"
	"hardnode.dev/internal/wire/jem"
)

// Scripts tells whether services here are scripts in /etc/init.d: of OpenRC, or of an init that knows nothing else.
func Scripts(root string) bool { return OpenRC(root) || sysV(root) }

// OpenRC tells whether OpenRC looks after services here, by its own sign.
func OpenRC(root string) bool {
	_, err := os.Stat(filepath.Join(root, "run/openrc/softlevel"))
	return err == nil && program.Find(root, "rc-service") != ""
}

// sysV tells whether the first process is an init that has scripts in /etc/init.d and no other way: SysV's or BusyBox's.
func sysV(root string) bool {
	p, _, err := readProcess(os.DirFS(filepath.Join(root, "proc")), "1")
	st, serr := os.Stat(filepath.Join(root, "etc/init.d"))
	return err == nil && p.comm == "init" && serr == nil && st.IsDir()
}

// script is the program of a service in /etc/init.d.
func script(root, name string) (string, error) {
	if p := program.Find(root, filepath.Join("/etc/init.d", name)); p != "" {
		return p, nil
	}
	return "", &jem.Error{Code: "not_found", Reason: fmt.Sprintf("there is no service /etc/init.d/%s", name), Next: "see /etc/init.d"}
}

// byScripts has OpenRC's programs do it, or SysV's scripts themselves.
func byScripts(c *contract.Call, name, verb string) contract.Steps {
	run := func(ctx context.Context, path string, args ...string) error {
		said, err := program.Run(ctx, asInit(c.Root, program.Command{Path: path, Args: args, Dir: "/"}))
		c.Said(said)
		if err != nil {
			return &jem.Error{Code: "unavailable", Reason: err.Error(), Next: "see what it wrote"}
		}
		return nil
	}
	var at, boot string
	var list [][]string // of arguments of boot, which says what starts with the container
	return contract.Steps{
		Pre: func(context.Context) (err error) {
			if at, err = script(c.Root, name); err != nil || verb != "enable" && verb != "disable" {
				return err
			}
			boot, list = atBoot(c.Root, name, verb == "enable")
			if boot == "" {
				return program.Lacks("service "+verb, "rc-update", "update-rc.d", "chkconfig")
			}
			return nil
		},
		Do: func(ctx context.Context) error {
			switch {
			case boot != "":
			case OpenRC(c.Root):
				boot, list = program.Find(c.Root, "rc-service"), [][]string{{name, verb}}
			default:
				boot, list = at, [][]string{{verb}}
			}
			for _, args := range list {
				if err := run(ctx, boot, args...); err != nil {
					return err
				}
			}
			c.Done("%s of %s: done", verb, name)
			return nil
		},
	}
}

// asInit is a command that may start a service, as the init itself would: among the init's processes. JEM's own end with the command of the
// host's that JEM is.
func asInit(root string, c program.Command) program.Command {
	sh := program.Find(root, "sh")
	if sh == "" {
		return c
	}
	c.Args = slices.Concat([]string{"-c", `{ read -r at < "$0/proc/1/cgroup" && echo 0 > "$0/sys/fs/cgroup/${at#0::}/cgroup.procs"; } ` +
		`2> /dev/null; exec "$@"`, root, c.Path}, c.Args)
	c.Path, c.Leaves = sh, true
	return c
}

// atBoot is who keeps what starts with the container, and what it is to be told.
func atBoot(root, name string, on bool) (path string, list [][]string) {
	if OpenRC(root) {
		verb := map[bool]string{true: "add", false: "del"}[on]
		return program.Find(root, "rc-update"), [][]string{{verb, name, "default"}}
	}
	if p := program.Find(root, "update-rc.d"); p != "" { // enable changes nothing where the links were never made
		if on {
			return p, [][]string{{name, "defaults"}, {name, "enable"}}
		}
		return p, [][]string{{name, "disable"}}
	}
	return program.Find(root, "chkconfig"), [][]string{{name, map[bool]string{true: "on", false: "off"}[on]}}
}

// rcStates are the directories in which OpenRC keeps a link for each service in a state, and that state in systemd's words.
var rcStates = []struct {
	dir   string
	state jem.State
}{{"failed", "failed"}, {"starting", "activating"}, {"stopping", "deactivating"}, {"inactive", "activating"}, {"started", "active"}}

// scripts are the services of /etc/init.d: those of OpenRC with their state, of SysV's with what the one that is asked for says of itself.
func scripts(ctx context.Context, c *contract.Call, name string) (list []jem.Service, err error) {
	if name != "" {
		at, err := script(c.Root, name)
		if err != nil {
			return nil, err
		}
		if !OpenRC(c.Root) || saysItself(at) {
			s, said, err := ofScript(ctx, at, name)
			c.Said(said)
			return []jem.Service{s}, err
		}
		return []jem.Service{{Name: name, State: rcState(c.Root, name, crashed(ctx, c.Root))}}, nil
	}
	if !OpenRC(c.Root) {
		return processes(os.DirFS(filepath.Join(c.Root, "proc")), "")
	}
	entries, err := os.ReadDir(filepath.Join(c.Root, "etc/init.d"))
	if err != nil {
		return nil, err
	}
	gone := crashed(ctx, c.Root)
	for _, e := range entries {
		s := jem.Service{Name: e.Name(), State: rcState(c.Root, e.Name(), gone)}
		boots := inRunlevel(c.Root, s.Name, "default", "boot")
		if s.State == "inactive" && !boots {
			continue
		}
		// what prepares the system does so once, and has nothing to say afterwards
		once := inRunlevel(c.Root, s.Name, "sysinit")
		if at, err := script(c.Root, s.Name); err == nil && s.State == "active" && !once && saysItself(at) {
			if own, _, err := ofScript(ctx, at, s.Name); err == nil {
				s = own
			}
		}
		list = append(list, s)
	}
	return list, nil
}

// inRunlevel tells whether OpenRC starts a service with one of these runlevels.
func inRunlevel(root, name string, levels ...string) bool {
	return slices.ContainsFunc(levels, func(l string) bool {
		_, err := os.Lstat(filepath.Join(root, "etc/runlevels", l, name))
		return err == nil
	})
}

// saysItself tells whether a script is one of SysV's that knows how its service is. OpenRC starts and stops these too, and takes what it
// has started once for started.
func saysItself(at string) bool {
	raw, err := file.Read(at, maxScript)
	first, _, _ := strings.Cut(string(raw), "\n")
	if err != nil || strings.Contains(first, "openrc-run") || strings.Contains(first, "runscript") {
		return false
	}
	return strings.Contains(string(raw), "status)") || strings.Contains(first, "init-d-script")
}

const maxScript = 1 << 20 // bytes

// rcState is a service's state as OpenRC keeps it. One that is started and has ended by itself since is in the list gone.
func rcState(root, name string, gone []string) jem.State {
	for _, s := range rcStates {
		if _, err := os.Lstat(filepath.Join(root, "run/openrc", s.dir, name)); err != nil {
			continue
		}
		if s.state == "active" && slices.Contains(gone, name) {
			return "failed"
		}
		return s.state
	}
	return "inactive"
}

// crashed are the services of OpenRC that are started and whose process has ended by itself.
func crashed(ctx context.Context, root string) []string {
	var out bytes.Buffer
	if at := program.Find(root, "rc-status"); at != "" { // it ends with 1 if there is none
		program.Run(ctx, program.Command{Path: at, Args: []string{"--crashed"}, Dir: "/", Out: &out})
	}
	return strings.Fields(out.String())
}

// FailedOfOpenRC are the services of OpenRC that could not be started, or have crashed.
func FailedOfOpenRC(ctx context.Context, root string) []string {
	names := crashed(ctx, root)
	entries, _ := os.ReadDir(filepath.Join(root, "run/openrc/failed")) // without it none has failed
	for _, e := range entries {
		names = append(names, e.Name())
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// ofScript is what a script says of its service, by its exit code (LSB, "Init Script Actions"); said is what it wrote.
func ofScript(ctx context.Context, at, name string) (s jem.Service, said string, err error) {
	said, err = program.Run(ctx, program.Command{Path: at, Args: []string{"status"}, Dir: "/"})
	s = jem.Service{Name: name, State: "active"}
	var exit *exec.ExitError
	switch {
	case err == nil:
	case errors.As(err, &exit) && exit.ExitCode() <= 2:
		s.State, err = "failed", nil
	case errors.As(err, &exit) && exit.ExitCode() == 3:
		s.State, err = "inactive", nil
	default:
		err = &jem.Error{Code: "unavailable", Reason: "the script can't say how its service is: " + err.Error(), Next: "see what it wrote"}
	}
	return s, said, err
}
