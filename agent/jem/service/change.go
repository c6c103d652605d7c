package service

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/coreos/go-systemd/v22/dbus"

	"hardnode.dev/agent/jem/contract"
	"hardnode.dev/internal/wire/jem"
)

// systemd is what a change needs of org.freedesktop.systemd1.
type systemd interface {
	property(ctx context.Context, unit, name string) any
	job(ctx context.Context, unit, verb string) (result string, err error)
	enable(ctx context.Context, unit string, on bool) error
	close()
}

// connect is a variable so that tests need no systemd.
var connect = func(ctx context.Context) (systemd, error) {
	c, err := dbus.NewSystemdConnectionContext(ctx)
	if err != nil {
		return nil, &jem.Error{Code: "unavailable", Reason: "systemd does not answer: " + err.Error(),
			Next: "try again when the container has started"}
	}
	return bus{c}, nil
}

// bus is the real one.
type bus struct{ c *dbus.Conn }

func (b bus) close() { b.c.Close() }

func (b bus) property(ctx context.Context, unit, name string) any {
	p, err := b.c.GetUnitPropertyContext(ctx, unit, name)
	if err != nil {
		return nil
	}
	return p.Value.Value()
}

func (b bus) job(ctx context.Context, unit, verb string) (string, error) {
	done := make(chan string, 1)
	do := map[string]func(context.Context, string, string, chan<- string) (int, error){"start": b.c.StartUnitContext,
		"stop": b.c.StopUnitContext, "restart": b.c.RestartUnitContext, "reload": b.c.ReloadUnitContext}[verb]
	if _, err := do(ctx, unit, "replace", done); err != nil {
		return "", err
	}
	select {
	case r := <-done:
		return r, nil
	case <-ctx.Done():
		return "", ctx.Err()
	}
}

func (b bus) enable(ctx context.Context, unit string, on bool) (err error) {
	if on {
		_, _, err = b.c.EnableUnitFilesContext(ctx, []string{unit}, false, true)
	} else {
		_, err = b.c.DisableUnitFilesContext(ctx, []string{unit}, false)
	}
	if err != nil {
		return err
	}
	return b.c.ReloadContext(ctx)
}

// bySystemd has systemd do it.
func bySystemd(c *contract.Call, unit, verb string) contract.Steps {
	var s systemd
	steps := contract.Steps{
		Pre: func(ctx context.Context) (err error) {
			if s, err = connect(ctx); err != nil {
				return err
			}
			switch load, _ := s.property(ctx, unit, "LoadState").(string); {
			case load == "not-found" || load == "":
				return &jem.Error{Code: "not_found", Reason: fmt.Sprintf("there is no unit %s", unit),
					Next: "jem service status lists them"}
			case load == "masked" && verb != "stop":
				return &jem.Error{Code: "conflict", Reason: fmt.Sprintf("unit %s is masked", unit), Next: "unmask it: systemctl unmask " +
					unit}
			}
			can, _ := s.property(ctx, unit, "CanReload").(bool) // of one that is not started too
			if state, _ := s.property(ctx, unit, "ActiveState").(string); verb == "reload" && (!can || state != "active" &&
				state != "reloading") {
				return &jem.Error{Code: "conflict", Reason: fmt.Sprintf("unit %s can't be reloaded, or is not started", unit),
					Next: "jem service restart " + unit}
			}
			return nil
		},
		Do: func(ctx context.Context) error {
			if verb == "enable" || verb == "disable" {
				if err := s.enable(ctx, unit, verb == "enable"); err != nil {
					return fmt.Errorf("%s unit %s: %v", verb, unit, err)
				}
				return nil
			}
			result, err := s.job(ctx, unit, verb)
			if err != nil {
				return fmt.Errorf("%s unit %s: %v", verb, unit, err)
			}
			if result != "done" {
				return &jem.Error{Code: "unavailable", Reason: fmt.Sprintf("%s of unit %s ended with %q", verb, unit, result),
					Next: "see why: jem service logs " + unit}
			}
			return nil
		},
		Cleanup: func() {
			if s != nil {
				s.close()
			}
		},
	}
	steps.Post = func(ctx context.Context) error {
		state, _ := s.property(ctx, unit, "ActiveState").(string)
		if state == "failed" && (verb == "start" || verb == "restart" || verb == "reload") {
			return &jem.Error{Code: "unavailable", Reason: fmt.Sprintf("unit %s has failed", unit), Next: "see why: jem service logs " +
				unit}
		}
		c.Done("%s of %s: it is %s", verb, unit, state)
		return nil
	}
	return steps
}

// reloads are the signals with which servers read their configuration again, as their manuals say. nginx, Apache, PHP-FPM and HAProxy let
// the work in hand end.
var reloads = []struct {
	comm   string
	signal os.Signal
}{{"nginx", hup}, {"apache2", usr1}, {"httpd", usr1}, {"php-fpm", usr2}, {"haproxy", usr2}, {"postgres", hup}, {"mariadbd", hup},
	{"mysqld", hup},
	{"sshd", hup}, {"redis-server", nil}, {"valkey-server", nil}, {"named", hup}, {"squid", hup}, {"cron", nil}, {"caddy", usr1},
	{"traefik", nil}}

// byHost is an app container: its one program is supervised by the host, which starts it anew whenever it ends.
func byHost(c *contract.Call, name, verb string) (contract.Steps, error) {
	proc := filepath.Join(c.Root, "proc")
	switch verb {
	case "restart", "reload":
	default:
		return contract.Steps{}, &jem.Error{Code: "unavailable",
			Reason: "this container has no service manager: the host supervises its one program and starts it whenever it ended",
			Next:   "jem service restart; or start and stop the environment"}
	}
	var main supervised
	return contract.Steps{
		Pre: func(context.Context) (err error) {
			if main, err = supervisedIn(os.DirFS(proc)); err != nil {
				return err
			}
			if name != "" && !strings.HasPrefix(main.comm, name) {
				if s, there := serverIn(os.DirFS(proc), name); there && verb == "reload" {
					main = s // a script's, which is the one program
				} else {
					return &jem.Error{Code: "not_found", Reason: fmt.Sprintf("this container's program is %q, not %q", main.comm, name),
						Next: "jem service status lists what runs"}
				}
			}
			if verb == "restart" {
				if main.reaper || main.catches(term) {
					return nil
				}
				return &jem.Error{Code: "conflict",
					Reason: fmt.Sprintf("the program %q takes no notice of SIGTERM, and nobody in a container can end its first process",
						main.comm), Next: "stop and start its environment: hnctl env stop"}
			}
			main.signal = signalOf(main.comm)
			if main.signal == nil || !main.catches(main.signal) {
				return &jem.Error{Code: "conflict",
					Reason: fmt.Sprintf("the container's program %q has no signal to read its configuration again",
						main.comm), Next: "jem service restart; or name a server that it has started: jem service reload php-fpm"}
			}
			return nil
		},
		Do: func(context.Context) error {
			if verb == "restart" {
				c.Reply.Ends = true
				c.After = func() { main.send(term) }
				c.Done("%s is told to end; the host starts it anew", main.comm)
				return nil
			}
			if err := main.send(main.signal); err != nil {
				return fmt.Errorf("signal %s: %v", main.comm, err)
			}
			c.Done("%s was sent %s", main.comm, main.signal)
			return nil
		},
	}, nil
}

// signalOf is the signal with which a server reads its configuration again; nil if it has none.
func signalOf(comm string) os.Signal {
	i := slices.IndexFunc(reloads, func(r struct {
		comm   string
		signal os.Signal
	}) bool {
		return strings.HasPrefix(comm, r.comm)
	})
	if i < 0 {
		return nil
	}
	return reloads[i].signal
}

var errNone = errors.New("this container's /proc shows no first process")
