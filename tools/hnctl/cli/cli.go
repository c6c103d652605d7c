// Package cli is hnctl's commands.
//
// Owns: the tree of commands, their flags, how results are shown, and the exit codes.
// In: arguments, stdin, the environment variables HNCTL_CONFIG, HNCTL_CONTEXT and NO_COLOR.
// Out: data on stdout, talk on stderr, an exit code.
// Never: takes a secret from a flag, waits without a deadline, or decides what the orchestrator decides.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"hardnode.dev/internal/build"
	"hardnode.dev/internal/license"
	"hardnode.dev/internal/secret"
	"hardnode.dev/internal/wire/document"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/tools/hnctl/config"
	"hardnode.dev/tools/hnctl/day0"
)

// The exit codes. `node exec` passes the command's own code on instead.
const (
	exitFailed   = 1
	exitUsage    = 2
	exitNotFound = 3
	exitDenied   = 4
	exitConflict = 5
	exitTimeout  = 6
	exitPartly   = 7
)

const exitHelp = `Exit codes: 0 done, 1 failed, 2 usage or bad input, 3 not found, 4 denied, 5 conflict, 6 timed out or stopped waiting, 7 partly done.
Configuration: --config DIR, or HNCTL_CONFIG, or hardnode/ in your configuration directory. Tokens are files, never flags.
Cluster: --context NAME, or HNCTL_CONTEXT, or what 'hnctl context use' chose.
Output: tables for people; -o json, -o yaml or -o name for programs. Talk goes to stderr.`

// app is what every command needs.
type app struct {
	in         io.Reader
	out, talk  io.Writer
	configFlag string
	context    string // name of a context; "" is the current one
	output     string
	timeout    time.Duration
	yes        bool
	warned     map[string]bool // what was said and needs no saying again
}

// codeError carries an exit code of its own.
type codeError struct {
	code int
	err  error
}

func (e *codeError) Error() string { return e.err.Error() }
func (e *codeError) Unwrap() error { return e.err }

func withCode(code int, err error) error { return &codeError{code, err} }

// errSilent ends with a code and without a word: the command said it all.
var errSilent = errors.New("")

// Main runs hnctl and returns its exit code.
func Main(ctx context.Context, args []string, in io.Reader, out, talk io.Writer) int {
	ctx, stop := interruptible(ctx)
	defer stop()
	a := &app{in: in, out: out, talk: talk}
	root := a.root()
	root.SetArgs(args)
	root.SetIn(in)
	root.SetOut(out)
	root.SetErr(talk)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return 0
	}
	err = a.didYouMean(ctx, err)
	if !errors.Is(err, errSilent) {
		fmt.Fprintln(talk, "hnctl: "+explain(err))
	}
	return exitCode(err)
}

// interruptible ends the context at the first Ctrl-C, with that as its cause; the second ends the program.
func interruptible(parent context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(parent)
	ch := make(chan os.Signal, 2)
	signal.Notify(ch, os.Interrupt, syscall.SIGTERM)
	done := make(chan struct{})
	go func() {
		select {
		case <-ch:
			cancel(errInterrupted)
			signal.Stop(ch) // the next one ends the program as usual
		case <-done:
			signal.Stop(ch)
		}
	}()
	return ctx, func() { close(done); cancel(nil) }
}

var errInterrupted = errors.New("interrupted")

func exitCode(err error) int {
	var c *codeError
	var p *operator.Problem
	var d *document.Error
	var n interface{ Timeout() bool }
	var i *day0.InputError
	switch {
	case errors.As(err, &c):
		return c.code
	case errors.As(err, &p):
		return codes[p.Code]
	case errors.As(err, &d), errors.As(err, &i):
		return exitUsage
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &n) && n.Timeout():
		return exitTimeout
	case errors.Is(err, license.ErrExpired), errors.Is(err, license.ErrSignature), errors.Is(err, license.ErrWrongKey):
		return exitDenied
	}
	return exitFailed
}

// codes is the exit code of each of the API's error codes.
var codes = map[operator.Code]int{
	operator.Invalid: exitUsage, operator.NotFound: exitNotFound, operator.Denied: exitDenied, operator.Conflict: exitConflict,
	operator.Exhausted: exitFailed, operator.Unavailable: exitFailed, operator.Internal: exitFailed,
}

// explain is an error as a person reads it.
func explain(err error) string {
	s := err.Error()
	next := ""
	var p *operator.Problem
	var n interface{ Next() string }
	switch {
	case errors.As(err, &p) && err == error(p) && len(p.Errors) < 2:
		s, next = (&operator.Problem{Title: p.Title, Object: p.Object, Reason: p.Reason}).Error(), p.Next
	case errors.As(err, &n):
		next = n.Next()
	}
	if s = strings.TrimRight(s, ": \n"); s == "" {
		s = "it failed and gave no reason"
	}
	if next != "" {
		s += "\n  next: " + next
	}
	return s
}

func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use: "hnctl", Short: "Command line of a Hardnode cluster", Long: "hnctl works with a Hardnode cluster.\n\n" + exitHelp,
		Version: build.Version, SilenceUsage: true, SilenceErrors: true, DisableSuggestions: true,
		Example: "  hnctl cluster status\n  hnctl env create -f hello.yaml\n  hnctl node exec 101 -- sh",
	}
	f := root.PersistentFlags()
	f.StringVar(&a.configFlag, "config", "", "configuration directory")
	f.StringVar(&a.context, "context", "", "cluster to work with, of those in the configuration (hnctl context list)")
	f.StringVarP(&a.output, "output", "o", "table", "table, json, yaml or name")
	f.DurationVar(&a.timeout, "timeout", usualTimeout, "longest wait for the whole command; template push waits for an import of any size")
	root.PersistentPreRunE = func(c *cobra.Command, _ []string) error { return a.globals(c) }
	root.AddCommand(a.commands()...)
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	root.SetGlobalNormalizationFunc(flagAlias)
	helpful(root)
	a.completions(root)
	return root
}

// config reads hnctl's configuration.
func (a *app) config() (config.Config, error) {
	dir, err := config.Dir(a.configFlag)
	if err != nil {
		return config.Config{}, withCode(exitUsage, err)
	}
	f, err := config.LoadFile(dir)
	if err != nil {
		return config.Config{}, withCode(exitUsage, err)
	}
	c, err := f.Context(a.inForce())
	if err != nil {
		return c, withCode(exitNotFound, err)
	}
	a.warn(c.Loose())
	return c, nil
}

// token reads a token file of the configuration.
func (a *app) token(c config.Config, name string) (secret.Text, error) {
	t, loose, err := c.Token(name)
	if err != nil {
		return "", withCode(exitUsage, err)
	}
	a.warn(loose)
	return t, nil
}

// warn says something that needs the person's attention, once.
func (a *app) warn(text string) {
	if text == "" || a.warned[text] {
		return
	}
	if a.warned == nil {
		a.warned = map[string]bool{}
	}
	a.warned[text] = true
	a.say("warning: %s", text)
}

// say writes a line of talk.
func (a *app) say(format string, args ...any) { fmt.Fprintf(a.talk, format+"\n", args...) }

// next suggests the next command, to people only.
func (a *app) next(format string, args ...any) {
	if a.output == "table" && isTerminal(a.talk) {
		a.say("next: "+format, args...)
	}
}

func isTerminal(w any) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// readFile reads a file, or stdin for "-".
func (a *app) readFile(name string, limit int64) ([]byte, error) {
	if name == "-" {
		raw, err := io.ReadAll(io.LimitReader(a.in, limit))
		if err != nil {
			return nil, fmt.Errorf("read stdin: %v", err)
		}
		return raw, nil
	}
	raw, err := os.ReadFile(name)
	if err != nil {
		return nil, withCode(exitUsage, err)
	}
	return raw, nil
}

func oneLine(raw []byte) string { return strings.TrimSpace(string(raw)) }
