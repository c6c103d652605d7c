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
	"syscall"

	"github.com/spf13/cobra"

	"hardnode.dev/internal/build"
	"hardnode.dev/tools/hnctl/app"
)

const exitHelp = `Exit codes: 0 done, 1 failed, 2 usage or bad input, 3 not found, 4 denied, 5 conflict, 6 timed out or stopped waiting, 7 partly done.
Configuration: --config DIR, or HNCTL_CONFIG, or hardnode/ in your configuration directory. Tokens are files, never flags; 'hnctl login' signs
in with a mail address and a password instead.
Cluster: --context NAME, or HNCTL_CONTEXT, or what 'hnctl context use' chose.
Output: tables for people (-o wide: more columns, where there are more); -o json, -o yaml or -o name for programs. Talk goes to stderr.`

// Main runs hnctl and returns its exit code.
func Main(ctx context.Context, args []string, in io.Reader, out, talk io.Writer) int {
	ctx, stop := interruptible(ctx)
	defer stop()
	a := &app.App{In: in, Out: out, Talk: talk}
	top := root(a)
	top.SetArgs(args)
	top.SetIn(in)
	top.SetOut(out)
	top.SetErr(talk)
	err := top.ExecuteContext(ctx)
	if err == nil {
		return 0
	}
	err = a.SignInAgain(a.DidYouMean(ctx, err))
	if !errors.Is(err, app.ErrSilent) {
		fmt.Fprintln(talk, "hnctl: "+app.Explain(err))
	}
	return app.ExitCode(err)
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

func root(a *app.App) *cobra.Command {
	root := &cobra.Command{
		Use: "hnctl", Short: "Command line of a Hardnode cluster", Long: "hnctl works with a Hardnode cluster.\n\n" + exitHelp,
		Version: build.Version, SilenceUsage: true, SilenceErrors: true, DisableSuggestions: true,
		Example: "  hnctl cluster status\n  hnctl env create -f hello.yaml\n  hnctl node exec 101 -- sh",
	}
	f := root.PersistentFlags()
	f.StringVar(&a.ConfigFlag, "config", "", "configuration directory")
	f.StringVar(&a.ContextName, "context", "", "cluster to work with, of those in the configuration (hnctl context list)")
	f.StringVarP(&a.Output, "output", "o", "table", "table, wide (a table with more columns, where there are more), json, yaml or name")
	f.DurationVar(&a.Timeout, "timeout", app.UsualTimeout,
		"longest wait for the whole command; template push waits for an import of any size")
	root.PersistentPreRunE = func(c *cobra.Command, _ []string) error { return globals(a, c) }
	root.AddCommand(commands(a)...)
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	root.SetGlobalNormalizationFunc(flagAlias)
	helpful(root)
	completions(a, root)
	return root
}
