package app

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

// API is a client of the configured cluster.
func (a *App) API() (*client.Client, error) {
	cfg, err := a.Config()
	if err != nil {
		return nil, err
	}
	token, err := a.Token(cfg, cfg.APITokenFile())
	if err != nil {
		return nil, err
	}
	return client.Orchestrator(cfg.Servers, identity.Trust{Pin: cfg.CAPin, Cluster: cfg.Cluster}, token), nil
}

// UsualTimeout is the deadline of a command when nobody says another; pushTimeout is that of a push, whose import is as long as the image
// is large: the registry has a deadline of its own for it.
const (
	UsualTimeout = 10 * time.Minute
	PushTimeout  = 12 * time.Hour
)

// Limit is the deadline of the whole command.
func (a *App) Limit(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, a.Timeout)
}

// Call does one request that changes something; path is below operator.Prefix, out may be nil, header is names and values.
func (a *App) Call(ctx context.Context, method, path string, in, out any, header ...string) error {
	c, err := a.API()
	if err != nil {
		return err
	}
	ctx, cancel := a.Limit(ctx)
	defer cancel()
	return c.Call(ctx, method, operator.Prefix+path, in, out, header...)
}

// Get reads one resource.
func Get[T any](ctx context.Context, a *App, path string) (out T, err error) {
	c, err := a.API()
	if err != nil {
		return out, err
	}
	ctx, cancel := a.Limit(ctx)
	defer cancel()
	return out, c.Call(ctx, http.MethodGet, operator.Prefix+path, nil, &out)
}

// changeTries is how often a change is tried where others change the same thing at the same moment.
const changeTries = 5

// Change reads something, changes it and writes it back, all by try, until nobody has changed it meanwhile: what they changed stays.
func Change[T any](try func() (T, error)) (out T, err error) {
	for tries := 1; ; tries++ {
		out, err = try()
		var p *operator.Problem
		if !errors.As(err, &p) || p.Status != http.StatusPreconditionFailed {
			return out, err
		}
		if tries == changeTries {
			q := *p
			q.Next = fmt.Sprintf("others change it all the time, %d tries found it changed: nothing was done, repeat the command", tries)
			return out, &q
		}
	}
}

// GetTagged reads one resource, with its ETag; "": it has none.
func GetTagged[T any](ctx context.Context, a *App, path string) (out T, etag string, err error) {
	c, err := a.API()
	if err != nil {
		return out, "", err
	}
	ctx, cancel := a.Limit(ctx)
	defer cancel()
	etag, err = c.Tagged(ctx, operator.Prefix+path, &out)
	return out, etag, err
}

// Items reads one list, all its parts.
func Items[T any](ctx context.Context, a *App, path string) (all []T, err error) {
	sep := "?"
	if strings.Contains(path, "?") {
		sep = "&"
	}
	for next := ""; ; {
		from := path
		if next != "" {
			from += sep + "cursor=" + url.QueryEscape(next)
		}
		l, err := Get[operator.List[T]](ctx, a, from)
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

func Joined[T any](list []T, name func(T) string) string {
	out := make([]string, len(list))
	for i, x := range list {
		out[i] = name(x)
	}
	return strings.Join(out, "\n")
}

// Long sends a request for long work and, unless noWait, waits for the operation's end; header is names and values.
func (a *App) Long(ctx context.Context, method, path string, in any, noWait bool, header ...string) (operator.Operation, error) {
	c, err := a.API()
	if err != nil {
		return operator.Operation{}, err
	}
	ctx, cancel := a.Limit(ctx)
	defer cancel()
	got, err := a.order(ctx, c, method, operator.Prefix+path, in, header)
	if err != nil {
		return operator.Operation{}, err
	}
	if got.Operation == nil {
		return operator.Operation{}, fmt.Errorf("%s %s: the answer names no operation", method, path)
	}
	if noWait {
		a.Say("%s accepted; watch it with: hnctl op watch %s", got.Operation.Kind, got.Operation.ID)
		return *got.Operation, nil
	}
	return a.Wait(ctx, c, got.Operation.ID)
}

// order sends a request for long work. When the answer was lost, so that it may have been taken, it is sent again: its idempotency key says
// that it is the same one, and the orchestrator then answers what it answered before.
func (a *App) order(ctx context.Context, c *client.Client, method, path string, in any,
	header []string) (got operator.Accepted, err error) {
	key := rand.Text()
	header = append([]string{"Idempotency-Key", key}, header...)
	for lost := 0; ; lost++ {
		err = c.Call(ctx, method, path, in, &got, header...)
		switch {
		case err == nil, lost == 0 && !client.Lost(err), lost > 0 && !client.Away(err):
			return got, err
		case ctx.Err() != nil:
			return got, WithCode(ExitTimeout, fmt.Errorf("%w; it may have been taken all the same, see it with: hnctl op list", err))
		case lost == 0:
			a.Say("lost the orchestrator before it answered, asking it again: %v", err)
		}
		run.Wait(ctx, run.Backoff(min(lost, 5), 250*time.Millisecond, 5*time.Second, 0.5))
	}
}

// Wait watches an operation to its end. Ctrl-C and the deadline end the waiting, never the operation.
func (a *App) Wait(ctx context.Context, c *client.Client, id wire.OperationID) (op operator.Operation, err error) {
	p := &progress{to: a.Talk, tty: IsTerminal(a.Talk), quiet: a.Output != "table" && !IsTerminal(a.Talk)}
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
			a.Say("lost the orchestrator, trying again: %v", err)
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
	return WithCode(ExitTimeout, fmt.Errorf("%s; the operation goes on, see it with: hnctl op watch %s", why, id))
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

// ConfirmName asks for a name to be typed before something that must not happen to another one; without a terminal --yes is needed.
func (a *App) ConfirmName(question, name string) error {
	if a.Yes {
		return nil
	}
	if !IsTerminal(a.In) || !IsTerminal(a.Talk) {
		return WithCode(ExitUsage, errors.New(question+": give --yes to confirm"))
	}
	fmt.Fprintf(a.Talk, "%s\ntype %s to go on: ", question, name)
	var answer string
	fmt.Fscanln(a.In, &answer)
	if answer != name {
		return WithCode(ExitFailed, fmt.Errorf("%q is not %q, nothing was changed", answer, name))
	}
	return nil
}

// Confirm asks before something that can't be undone; without a terminal --yes is needed.
func (a *App) Confirm(question string) error {
	if a.Yes {
		return nil
	}
	if !IsTerminal(a.In) || !IsTerminal(a.Talk) {
		return WithCode(ExitUsage, errors.New(question+": give --yes to confirm"))
	}
	fmt.Fprintf(a.Talk, "%s? [y/N] ", question)
	var answer string
	fmt.Fscanln(a.In, &answer)
	if s := strings.ToLower(answer); s != "y" && s != "yes" {
		return WithCode(ExitFailed, errors.New("not confirmed, nothing was changed"))
	}
	return nil
}
