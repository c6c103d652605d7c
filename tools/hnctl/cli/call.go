package cli

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"hardnode.dev/internal/identity"
	"hardnode.dev/internal/run"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/tools/hnctl/client"
)

// api is a client of the configured cluster.
func (a *app) api() (*client.Client, error) {
	cfg, err := a.config()
	if err != nil {
		return nil, err
	}
	token, err := a.token(cfg, cfg.TokenFile)
	if err != nil {
		return nil, err
	}
	return client.Orchestrator(cfg.Servers, identity.Trust{Pin: cfg.CAPin, Cluster: cfg.Cluster}, token), nil
}

// usualTimeout is the deadline of a command when nobody says another; pushTimeout is that of a push, whose import is as long as the image is
// large: the registry has a deadline of its own for it.
const (
	usualTimeout = 10 * time.Minute
	pushTimeout  = 12 * time.Hour
)

// limit is the deadline of the whole command.
func (a *app) limit(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, a.timeout)
}

// call does one request that changes something; path is below operator.Prefix, out may be nil.
func (a *app) call(ctx context.Context, method, path string, in, out any) error {
	c, err := a.api()
	if err != nil {
		return err
	}
	ctx, cancel := a.limit(ctx)
	defer cancel()
	return c.Call(ctx, method, operator.Prefix+path, in, out)
}

// get reads one resource.
func get[T any](ctx context.Context, a *app, path string) (out T, err error) {
	c, err := a.api()
	if err != nil {
		return out, err
	}
	ctx, cancel := a.limit(ctx)
	defer cancel()
	return out, c.Call(ctx, http.MethodGet, operator.Prefix+path, nil, &out)
}

// items reads one list, all its parts.
func items[T any](ctx context.Context, a *app, path string) (all []T, err error) {
	sep := "?"
	if strings.Contains(path, "?") {
		sep = "&"
	}
	for next := ""; ; {
		from := path
		if next != "" {
			from += sep + "cursor=" + url.QueryEscape(next)
		}
		l, err := get[operator.List[T]](ctx, a, from)
		if err != nil {
			return nil, err
		}
		all = append(all, l.Items...)
		if l.Next == "" || l.Next == next || limited(path) {
			return all, nil
		}
		next = l.Next
	}
}

// limited tells whether a path asks for so many items and no more.
func limited(path string) bool {
	_, query, _ := strings.Cut(path, "?")
	q, err := url.ParseQuery(query)
	return err == nil && q.Has("limit")
}

func joined[T any](list []T, name func(T) string) string {
	out := make([]string, len(list))
	for i, x := range list {
		out[i] = name(x)
	}
	return strings.Join(out, "\n")
}

// long sends a request for long work and, unless noWait, waits for the operation's end.
func (a *app) long(ctx context.Context, method, path string, in any, noWait bool) (operator.Operation, error) {
	c, err := a.api()
	if err != nil {
		return operator.Operation{}, err
	}
	ctx, cancel := a.limit(ctx)
	defer cancel()
	var got operator.Accepted
	if err := c.Call(ctx, method, operator.Prefix+path, in, &got, "Idempotency-Key", rand.Text()); err != nil {
		return operator.Operation{}, err
	}
	if got.Operation == nil {
		return operator.Operation{}, fmt.Errorf("%s %s: the answer names no operation", method, path)
	}
	if noWait {
		a.say("%s accepted; watch it with: hnctl op watch %s", got.Operation.Kind, got.Operation.ID)
		return *got.Operation, nil
	}
	return a.wait(ctx, c, got.Operation.ID)
}

// wait watches an operation to its end. Ctrl-C and the deadline end the waiting, never the operation.
func (a *app) wait(ctx context.Context, c *client.Client, id wire.OperationID) (op operator.Operation, err error) {
	p := &progress{to: a.talk, tty: isTerminal(a.talk), quiet: a.output != "table" && !isTerminal(a.talk)}
	path := operator.Prefix + "/operations/" + string(id)
	for tries := 0; ; tries++ {
		seen := false
		err = c.Events(ctx, path+"/events", func(data []byte) bool {
			if seen = decodeOperation(data, &op); seen {
				p.show(op)
			}
			return !op.State.Final()
		})
		var refused *operator.Problem
		switch {
		case op.State.Final():
			p.end()
			return op, outcome(op)
		case ctx.Err() != nil:
			p.end()
			return op, stopped(ctx, id)
		case errors.As(err, &refused) && refused.Code != operator.Unavailable && refused.Code != operator.Internal:
			p.end()
			return op, err
		}
		if seen {
			tries = 0
		}
		if tries == 3 {
			a.say("lost the orchestrator, trying again: %v", err)
		}
		run.Wait(ctx, run.Backoff(min(tries, 5), 250*time.Millisecond, 5*time.Second, 0.5))
	}
}

// stopped says how to go on watching.
func stopped(ctx context.Context, id wire.OperationID) error {
	why := "stopped waiting"
	if errors.Is(context.Cause(ctx), context.DeadlineExceeded) {
		why = "timed out waiting"
	}
	return withCode(exitTimeout, fmt.Errorf("%s; the operation goes on, see it with: hnctl op watch %s", why, id))
}

// outcome is a finished operation as an error, or nil.
func outcome(op operator.Operation) error {
	switch {
	case op.State == operator.OpDone:
		return nil
	case op.Problem != nil:
		return op.Problem
	}
	return fmt.Errorf("%s of %s was %s", op.Kind, op.Object, op.State)
}

// confirm asks before something that can't be undone; without a terminal --yes is needed.
func (a *app) confirm(question string) error {
	if a.yes {
		return nil
	}
	if !isTerminal(a.in) || !isTerminal(a.talk) {
		return withCode(exitUsage, errors.New(question+": give --yes to confirm"))
	}
	fmt.Fprintf(a.talk, "%s? [y/N] ", question)
	var answer string
	fmt.Fscanln(a.in, &answer)
	if s := strings.ToLower(answer); s != "y" && s != "yes" {
		return withCode(exitFailed, errors.New("not confirmed, nothing was changed"))
	}
	return nil
}
