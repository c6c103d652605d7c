package app

import (
	"errors"
	"net/http"
	"os"
	"syscall"

	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/tools/hnctl/config"
)

// Contexts reads the file with all contexts.
func (a *App) Contexts() (config.File, error) {
	dir, err := config.Dir(a.ConfigFlag)
	if err != nil {
		return config.File{}, WithCode(ExitUsage, err)
	}
	f, err := config.LoadFile(dir)
	if err != nil {
		return f, WithCode(ExitUsage, err)
	}
	for _, c := range f.Contexts {
		a.Warn(c.Loose())
	}
	return f, nil
}

// ChangeContexts reads the file, changes it and writes it.
func (a *App) ChangeContexts(change func(*config.File) error) error {
	f, err := a.Contexts()
	if err != nil {
		return err
	}
	if err := change(&f); err != nil {
		return ContextError(err)
	}
	return Unwritten(f.Save())
}

func ContextError(err error) error {
	if errors.Is(err, config.ErrNoContext) {
		return WithCode(ExitNotFound, err)
	}
	if errors.As(err, new(*notWritten)) {
		return err
	}
	return WithCode(ExitUsage, err)
}

// notWritten is why a file was not written. Files are replaced whole or not at all.
type notWritten struct{ error }

func (e *notWritten) Unwrap() error { return e.error }

// Next is what to do about it.
func (e *notWritten) Next() string {
	if errors.Is(e, syscall.ENOSPC) || errors.Is(e, syscall.EDQUOT) {
		return "make room on that disk, then repeat the command; the file is as it was"
	}
	return "see that you may write there, then repeat the command; the file is as it was"
}

// Unwritten makes an error of writing a file one for people; others stay as they are.
func Unwritten(err error) error {
	if no := syscall.Errno(0); err != nil && errors.As(err, &no) {
		return &notWritten{err}
	}
	return err
}

// InForce is the context that --context or HNCTL_CONTEXT names; "" is the file's current one.
func (a *App) InForce() string {
	if a.ContextName != "" {
		return a.ContextName
	}
	return os.Getenv("HNCTL_CONTEXT")
}

// SignInAgain says what to do about a session that has ended: a refusal of the API speaks of tokens.
func (a *App) SignInAgain(err error) error {
	var p *operator.Problem
	if !errors.As(err, &p) || p.Status != http.StatusUnauthorized || p.Object != "token" {
		return err
	}
	c, broken := a.Config()
	if broken != nil || c.Session == "" {
		return err
	}
	q := *p
	q.Reason, q.Next = "the session that hnctl login began has ended", "sign in again: hnctl login; or hnctl logout to use the token"
	return &q
}
