// Package health is JEM's module that says whether what a container is for works.
//
// Owns: which checks those are where the template names none, and what is well.
// In: the template's checks, or the sockets that listen and the units or services that failed.
// Out: a row for each check; an error if one is not well.
// Never: changes anything, or takes a connection for an answer where it knows the protocol.
package health

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	"hardnode.dev/agent/jem/contract"
	"hardnode.dev/agent/jem/probe"
	"hardnode.dev/agent/jem/program"
	"hardnode.dev/agent/jem/service"
	"hardnode.dev/agent/jem/template"
	"hardnode.dev/agent/jem/users"
	"hardnode.dev/internal/run"
	"hardnode.dev/internal/wire/jem"
)

// Module is the module's table.
var Module = contract.Module{Name: "health", Help: "whether the container works", Actions: []contract.Action{
	{Name: "check", Args: "[--within SECONDS]", Reads: true, Limit: 11 * time.Minute, Begin: begin,
		Help: "ask all that the template names, or else what listens here, until all is well"},
}}

const (
	maxWithin = 600
	execLimit = 20 * time.Second
)

// check is one question.
type check struct {
	kind, target string
	ask          func(ctx context.Context) (says string, err error)
}

func begin(c *contract.Call) (contract.Steps, error) {
	a, err := c.Parse(0, 0, "within SECONDS")
	if err != nil {
		return contract.Steps{}, err
	}
	seconds, err := a.Number("within", 0, 0, maxWithin)
	return contract.Steps{Do: func(ctx context.Context) error {
		until := time.Now().Add(time.Duration(seconds) * time.Second)
		for {
			err := all(ctx, c)
			if err == nil || time.Now().After(until) || !run.Wait(ctx, 500*time.Millisecond) {
				return err
			}
		}
	}}, err
}

// all asks every check once.
func all(ctx context.Context, c *contract.Call) error {
	checks, err := checksOf(c.Root)
	if err != nil {
		return err
	}
	c.Reply.Columns, c.Reply.Items = []string{"check", "target", "state", "ms", "says"}, nil
	ill := 0
	var first error
	for _, k := range checks {
		began := time.Now()
		says, err := k.ask(ctx)
		state := "well"
		if err != nil {
			state, says = "ill", err.Error()
			if ill++; ill == 1 {
				first = fmt.Errorf("%s %s: %v", k.kind, k.target, err)
			}
		}
		c.Row(k.kind, k.target, state, strconv.FormatInt(time.Since(began).Milliseconds(), 10),
			fmt.Sprintf("%.300s", strings.ToValidUTF8(says, "?")))
	}
	if first != nil {
		return &jem.Error{Code: "unavailable", Reason: fmt.Sprintf("%d of %d checks are not well: %v", ill, len(checks), first),
			Next: "see the log: jem service logs, jem logs list"}
	}
	c.Done("%d checks are well", len(checks))
	return nil
}

// checksOf are the template's, or what is found.
func checksOf(root string) (checks []check, err error) {
	t, err := template.Of(root)
	if err != nil {
		return nil, err
	}
	for _, k := range t.Health {
		checks = append(checks, named(root, k))
	}
	if len(checks) > 0 {
		return checks, nil
	}
	checks = found(listening(root))
	switch {
	case service.InitOf(root) == jem.InitSystemd:
		checks = append(checks, check{"units", "systemd", func(ctx context.Context) (string, error) { return none(service.Failed(ctx)) }})
	case service.OpenRC(root):
		checks = append(checks, check{"services", "openrc", func(ctx context.Context) (string, error) {
			return none(service.FailedOfOpenRC(ctx, root), nil)
		}})
	}
	if len(checks) == 0 {
		return nil, &jem.Error{Code: "unavailable", Reason: "nothing listens in this container, and its template names no check",
			Next: "start its program, or name checks in " + jem.TemplatePath}
	}
	return checks, nil
}

// named is a check of the template.
func named(root string, k jem.Check) check {
	switch {
	case k.HTTP != "":
		return check{"http", k.HTTP, func(ctx context.Context) (string, error) { return answer(ctx, k.HTTP, 400) }}
	case k.TCP != "":
		return check{"tcp", k.TCP, func(ctx context.Context) (string, error) { return "", probe.Greet(ctx, k.TCP, probe.Any) }}
	}
	return check{"exec", k.Exec[0], func(ctx context.Context) (string, error) {
		as := users.User{UID: 65534, GID: 65534}
		if k.User != "" {
			var err error
			if as, err = users.Find(root, k.User); err != nil {
				return "", err
			}
		}
		at := program.Find(root, k.Exec[0])
		if at == "" {
			return "", errors.New("there is no such program")
		}
		ctx, cancel := context.WithTimeout(ctx, execLimit)
		defer cancel()
		said, err := program.Run(ctx, program.Command{Path: at, Args: k.Exec[1:], Dir: "/", As: as.As()})
		return strings.TrimSpace(said), err
	}}
}

// answer is what an HTTP server says; a code from ill on is none that is well.
func answer(ctx context.Context, at string, ill int) (string, error) {
	code, err := probe.HTTP(ctx, at)
	if err == nil && code >= ill {
		err = fmt.Errorf("the answer is %d", code)
	}
	return strconv.Itoa(code), err
}

// spoken are the protocols of ports, where nobody says anything else.
var spoken = map[uint16]probe.Protocol{22: probe.SSH, 80: "http", 8080: "http", 3306: probe.MariaDB, 5432: probe.PostgreSQL,
	6379: probe.Redis}

// found are checks of what listens. A page that is not there is no illness of a web server.
func found(list []socket) (checks []check) {
	for _, s := range list {
		at := net.JoinHostPort(s.host, strconv.Itoa(int(s.port)))
		p, known := spoken[s.port]
		if !known {
			p = probe.Any
		}
		ask := func(ctx context.Context) (string, error) { return "", probe.Greet(ctx, at, p) }
		if p == "http" {
			ask = func(ctx context.Context) (string, error) { return answer(ctx, "http://"+at+"/", 500) }
		}
		checks = append(checks, check{string(p), at, ask})
	}
	return checks
}

// none says that nothing of these has failed, or which has.
func none(failed []string, err error) (string, error) {
	if err == nil && len(failed) > 0 {
		err = fmt.Errorf("%d have failed: %s", len(failed), strings.Join(failed[:min(len(failed), 10)], ", "))
	}
	return "none has failed", err
}
