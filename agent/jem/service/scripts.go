package service

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"

	"hardnode.dev/agent/jem/contract"
	"hardnode.dev/agent/jem/program"
	"hardnode.dev/internal/wire/jem"
)

// Scripts tells whether services here are scripts in /etc/init.d: of OpenRC, or of an init that knows nothing else.
func Scripts(root string) bool { return openRC(root) || sysV(root) }

// openRC tells whether OpenRC looks after services here, by its own sign.
func openRC(root string) bool {
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
		said, err := program.Run(ctx, program.Command{Path: path, Args: args, Dir: "/"})
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
			case openRC(c.Root):
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

// atBoot is who keeps what starts with the container, and what it is to be told.
func atBoot(root, name string, on bool) (path string, list [][]string) {
	if openRC(root) {
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
		if !openRC(c.Root) {
			s, err := ofScript(ctx, c, at, name)
			return []jem.Service{s}, err
		}
		return []jem.Service{{Name: name, State: rcState(c.Root, name)}}, nil
	}
	if !openRC(c.Root) {
		return processes(os.DirFS(filepath.Join(c.Root, "proc")), "")
	}
	entries, err := os.ReadDir(filepath.Join(c.Root, "etc/init.d"))
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		if s := rcState(c.Root, e.Name()); s != "inactive" || slices.ContainsFunc([]string{"default", "boot"}, func(l string) bool {
			_, err := os.Lstat(filepath.Join(c.Root, "etc/runlevels", l, e.Name()))
			return err == nil
		}) {
			list = append(list, jem.Service{Name: e.Name(), State: s})
		}
	}
	return list, nil
}

// rcState is a service's state as OpenRC keeps it.
func rcState(root, name string) jem.State {
	for _, s := range rcStates {
		if _, err := os.Lstat(filepath.Join(root, "run/openrc", s.dir, name)); err == nil {
			return s.state
		}
	}
	return "inactive"
}

// ofScript is what a script says of its service, by its exit code (LSB, "Init Script Actions").
func ofScript(ctx context.Context, c *contract.Call, at, name string) (jem.Service, error) {
	said, err := program.Run(ctx, program.Command{Path: at, Args: []string{"status"}, Dir: "/"})
	c.Said(said)
	s := jem.Service{Name: name, State: "active"}
	var exit *exec.ExitError
	switch {
	case err == nil:
	case errors.As(err, &exit) && exit.ExitCode() <= 2:
		s.State = "failed"
	case errors.As(err, &exit) && exit.ExitCode() == 3:
		s.State = "inactive"
	default:
		return s, &jem.Error{Code: "unavailable", Reason: "the script can't say how its service is: " + err.Error(),
			Next: "see what it wrote"}
	}
	return s, nil
}
