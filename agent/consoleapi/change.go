package consoleapi

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"hardnode.dev/internal/logging"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/boot"
	"hardnode.dev/internal/wire/console"
	"hardnode.dev/internal/wire/neighbour"
	"hardnode.dev/internal/wire/slots"
	"hardnode.dev/internal/wire/storage"
	"hardnode.dev/internal/wire/upkeep"
)

// maxBody is the most that is read of a request, in bytes.
const maxBody = 64 << 10

// changeWithin is how long a change may take: a container has its template's time to end.
const changeWithin = 3 * time.Minute

// row is a change: what it is called in the log, and whether a host without a configuration has it without a password.
type row struct {
	path, what string
	fresh      bool
	do         func(context.Context, Options, *http.Request, string) (any, error)
}

// changes is the table of them. Each is authorised, carried out, and logged with the terminal it came from.
var changes = []row{
	{"POST /v1/containers/{ctid}/restart", "container restart", false, restart},
	{"POST /v1/slots", "slots", false, changeSlots},
	{"POST /v1/install", "install", true, startInstall},
	{"POST /v1/storage", "storage add or replace", false, replaceDisk},
	{"POST /v1/leave", "leave", true, leave},
	{"POST /v1/support/stick", "support bundle to a stick", true, toStick},
	{"POST /v1/reset", "reset", false, reset},
	{"POST /v1/activate", "activate", true, activate},
	{"POST /v1/network/try", "network try", true, tryNetwork},
	{"POST /v1/network/confirm", "network confirm", true, endTrial("confirm")},
	{"POST /v1/network/revert", "network revert", true, endTrial("revert")},
}

// register puts the changes and the login into mux.
func register(mux *http.ServeMux, o Options) {
	mux.HandleFunc("POST /v1/login", func(w http.ResponseWriter, r *http.Request) {
		var l console.Login
		if err := decode(r, &l); err != nil {
			refuse(w, http.StatusBadRequest, err)
			return
		}
		var id string
		var err error
		if l.Challenge != "" {
			id, err = o.Guard.Answer(l.TTY, l.Challenge, l.Answer.Reveal())
		} else {
			id, err = o.Guard.Login(l.TTY, l.Password.Reveal())
		}
		logging.Or(o.Log).Info("login at a terminal", "tty", l.TTY, "result", result(err))
		if err != nil {
			refuse(w, statusOf(err), err)
			return
		}
		answer(w, console.Session{ID: id})
	})
	mux.HandleFunc("POST /v1/challenge", func(w http.ResponseWriter, r *http.Request) {
		text, host, err := o.Guard.Ask()
		if err != nil {
			refuse(w, statusOf(err), err)
			return
		}
		answer(w, console.Challenge{Text: text, Host: host})
	})
	mux.HandleFunc("POST /v1/logout", func(w http.ResponseWriter, r *http.Request) {
		o.Guard.Logout(r.Header.Get(console.SessionHeader))
		answer(w, struct{}{})
	})
	mux.HandleFunc("POST /v1/unlock", func(w http.ResponseWriter, r *http.Request) {
		var u console.Unlock
		err := decode(r, &u)
		if err == nil && o.Unlock == nil {
			err = badRequest{errors.New("STATE of this host is not locked")}
		}
		if err == nil {
			err = o.Unlock(r.Context(), u.Key, "terminal "+u.TTY)
		}
		logging.Or(o.Log).Info("unlock at a terminal", "tty", u.TTY, "result", result(err))
		if err != nil {
			refuse(w, statusOf(err), err)
			return
		}
		answer(w, struct{}{})
	})
	for _, c := range changes {
		mux.HandleFunc(c.path, func(w http.ResponseWriter, r *http.Request) {
			tty, err := o.Guard.Allow(r.Header.Get(console.SessionHeader), c.fresh)
			if err != nil {
				refuse(w, statusOf(err), err)
				return
			}
			ctx, cancel := context.WithTimeout(r.Context(), changeWithin)
			defer cancel()
			doc, err := c.do(ctx, o, r, tty)
			logging.Or(o.Log).Info("change at a terminal", "tty", tty, "what", c.what, "result", result(err))
			if err != nil {
				refuse(w, statusOf(err), err)
				return
			}
			answer(w, doc)
		})
	}
}

func result(err error) string {
	if err == nil {
		return "done"
	}
	return err.Error()
}

// badRequest is an error of the form of a request.
type badRequest struct{ error }

// statusOf is the HTTP status of a refusal.
func statusOf(err error) int {
	var early tooSoon
	var bad badRequest
	switch {
	case errors.Is(err, errLocked), errors.Is(err, errWrong), errors.Is(err, errAnswer), errors.Is(err, errOver):
		return http.StatusUnauthorized
	case errors.As(err, &early):
		return http.StatusTooManyRequests
	case errors.Is(err, errNone), errors.Is(err, errNotNeeded), errors.Is(err, errFresh), errors.Is(err, errNoPassword),
		errors.Is(err, errNoKey):
		return http.StatusForbidden
	case errors.As(err, &bad):
		return http.StatusBadRequest
	}
	if s := status(err); s == http.StatusNotFound {
		return s
	}
	return http.StatusConflict
}

func decode(r *http.Request, out any) error {
	raw, err := io.ReadAll(http.MaxBytesReader(nil, r.Body, maxBody))
	if err == nil {
		err = neighbour.Decode(raw, out)
	}
	if err != nil {
		return badRequest{fmt.Errorf("read what is asked: %v", err)}
	}
	return nil
}

func restart(ctx context.Context, o Options, r *http.Request, _ string) (any, error) {
	id, err := wire.ParseCTID(r.PathValue("ctid"))
	if err != nil {
		return nil, badRequest{err}
	}
	return struct{}{}, o.Restart(ctx, id)
}

func changeSlots(ctx context.Context, o Options, r *http.Request, _ string) (any, error) {
	var want slots.Request
	if err := decode(r, &want); err != nil {
		return nil, err
	}
	if !slices.Contains([]slots.Action{slots.Try, slots.Copy, slots.Rollback}, want.Action) {
		return nil, badRequest{fmt.Errorf("action: %q: at a terminal want try, copy or rollback", want.Action)}
	}
	return o.ChangeSlots(ctx, want)
}

func startInstall(ctx context.Context, o Options, r *http.Request, _ string) (any, error) {
	var want console.Install
	if err := decode(r, &want); err != nil {
		return nil, err
	}
	return o.StartInstall(ctx, want.Spec)
}

func replaceDisk(ctx context.Context, o Options, r *http.Request, _ string) (any, error) {
	var want storage.Replace
	if err := decode(r, &want); err != nil {
		return nil, err
	}
	if o.Replace == nil {
		return nil, errors.New("this host was not booted from an installed disk, so it has no disk to replace or to add to")
	}
	return o.Replace(ctx, want)
}

func toStick(ctx context.Context, o Options, _ *http.Request, _ string) (any, error) {
	return o.Stick(ctx)
}

func reset(ctx context.Context, o Options, r *http.Request, tty string) (any, error) {
	var want console.Reset
	if err := decode(r, &want); err != nil {
		return nil, err
	}
	if name := o.Status(ctx).Name; want.Name == "" || want.Name != name {
		return nil, fmt.Errorf("%q is not this host's name; nothing was done", want.Name)
	}
	return struct{}{}, o.Reset(ctx, "terminal "+tty)
}

// errToken is what is said to a join token: it is a part of an activation only.
var errToken = errors.New("that is a join token alone, which does not say where its cluster is; want the line that " +
	"`hnctl host config line FILE` makes of the whole configuration")

func activate(ctx context.Context, o Options, r *http.Request, _ string) (any, error) {
	var want console.Activate
	if err := decode(r, &want); err != nil {
		return nil, err
	}
	text := want.Text.Reveal()
	coded, ok := strings.CutPrefix(text, console.ActivationPrefix)
	if strings.HasPrefix(text, "hn1.") {
		return nil, badRequest{errToken}
	}
	raw, err := base64.RawURLEncoding.DecodeString(coded)
	if !ok || err != nil || len(raw) == 0 {
		return nil, badRequest{errors.New("want the line that `hnctl host config line FILE` makes; this one was cut, or is another")}
	}
	if o.Activate == nil {
		return nil, errors.New("this host has a configuration already; reset it first, or change the configuration where it lies")
	}
	return o.Activate(ctx, raw)
}

func tryNetwork(ctx context.Context, o Options, r *http.Request, _ string) (any, error) {
	var want boot.NetworkTrial
	if err := decode(r, &want); err != nil {
		return nil, err
	}
	return o.ChangeNetwork(ctx, "try", &want)
}

func endTrial(how string) func(context.Context, Options, *http.Request, string) (any, error) {
	return func(ctx context.Context, o Options, _ *http.Request, _ string) (any, error) {
		return o.ChangeNetwork(ctx, how, nil)
	}
}

func leave(ctx context.Context, o Options, r *http.Request, tty string) (any, error) {
	var want console.Leave
	if err := decode(r, &want); err != nil {
		return nil, err
	}
	order := upkeep.Leave{PowerOff: want.PowerOff, Reason: want.Reason, By: "terminal " + tty}
	return struct{}{}, o.Leave(ctx, order)
}
