// Package app is what every command of hnctl gets: one App with the person's flags, and the ways to ask, wait and show.
//
// Owns: calls to the configured cluster, waiting for operations, tables and other output, exit codes, the words of errors.
// In: the global flags, stdin, the configuration.
// Out: data on stdout, talk on stderr, errors that carry an exit code.
// Never: knows a command, takes a secret from a flag, or waits without a deadline.
package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"strings"
	"time"

	"golang.org/x/term"

	"hardnode.dev/internal/run/given"
	"hardnode.dev/internal/secret"
	"hardnode.dev/tools/hnctl/config"
)

// The exit codes. `node exec` passes the command's own code on instead.
const (
	ExitFailed   = 1
	ExitUsage    = 2
	ExitNotFound = 3
	ExitDenied   = 4
	ExitConflict = 5
	ExitTimeout  = 6
	ExitPartly   = 7

	// Of commands that compare: what would end with 1 elsewhere ends with 8 there.
	ExitDiffers = 1
	ExitTrouble = 8
)

// App is what every command needs.
type App struct {
	In          io.Reader
	Out, Talk   io.Writer
	ConfigFlag  string
	ContextName string // name of a context; "" is the current one
	Output      string
	Wide        bool // tables have more columns, where there are more
	Timeout     time.Duration
	Yes         bool
	warned      map[string]bool // what was said and needs no saying again
}

// CodeError carries an exit code of its own.
type CodeError struct {
	Code int
	err  error
}

func (e *CodeError) Error() string { return e.err.Error() }

func (e *CodeError) Unwrap() error { return e.err }

func WithCode(code int, err error) error { return &CodeError{code, err} }

// ErrSilent ends with a code and without a word: the command said it all.
var ErrSilent = errors.New("")

// Config reads hnctl's configuration.
func (a *App) Config() (config.Config, error) {
	dir, err := config.Dir(a.ConfigFlag)
	if err != nil {
		return config.Config{}, WithCode(ExitUsage, err)
	}
	f, err := config.LoadFile(dir)
	if err != nil {
		return config.Config{}, WithCode(ExitUsage, err)
	}
	c, err := f.Context(a.InForce())
	if err != nil {
		return c, WithCode(ExitNotFound, err)
	}
	a.Warn(c.Loose())
	return c, nil
}

// Token reads a token file of the configuration.
func (a *App) Token(c config.Config, name string) (secret.Text, error) {
	t, loose, err := c.Token(name)
	if err != nil {
		return "", WithCode(ExitUsage, err)
	}
	a.Warn(loose)
	return t, nil
}

// Registry is the registry of templates, by its configuration, its URL and the push token.
func (a *App) Registry() (config.Config, *url.URL, secret.Text, error) {
	c, err := a.Config()
	if err != nil {
		return c, nil, "", err
	}
	if c.Registry == nil {
		return c, nil, "", WithCode(ExitUsage, errors.New("the configuration names no registry: add its server and tokenFile"))
	}
	at, err := url.Parse(c.Registry.Server)
	if err != nil {
		return c, nil, "", WithCode(ExitUsage, err)
	}
	token, err := a.Token(c, c.Registry.TokenFile)
	return c, at, token, err
}

// Warn says something that needs the person's attention, once.
func (a *App) Warn(text string) {
	if text == "" || a.warned[text] {
		return
	}
	if a.warned == nil {
		a.warned = map[string]bool{}
	}
	a.warned[text] = true
	a.Say("warning: %s", text)
}

// Say writes a line of talk.
func (a *App) Say(format string, args ...any) { fmt.Fprintf(a.Talk, format+"\n", args...) }

// Next suggests the next command, to people only.
func (a *App) Next(format string, args ...any) {
	if a.Output == "table" && IsTerminal(a.Talk) {
		a.Say("next: "+format, args...)
	}
}

func IsTerminal(w any) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// ReadFile reads a file of at most limit bytes, or stdin for "-".
func (a *App) ReadFile(ctx context.Context, name string, limit int64) (raw []byte, err error) {
	if name == "-" {
		raw, err = given.From(ctx, "stdin", a.In, limit)
	} else {
		raw, err = given.Read(ctx, name, limit)
	}
	if err != nil && ctx.Err() == nil {
		err = WithCode(ExitUsage, err)
	}
	return raw, err
}

func OneLine(raw []byte) string { return strings.TrimSpace(string(raw)) }
