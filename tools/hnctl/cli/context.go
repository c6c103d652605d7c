package cli

import (
	"errors"
	"os"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"hardnode.dev/tools/hnctl/config"
)

// contextInfo is a context as `hnctl context list` shows it.
type contextInfo struct {
	Name    string   `json:"name"`
	Current bool     `json:"current"`
	Cluster string   `json:"cluster"`
	Servers []string `json:"servers"`
	CAPin   string   `json:"caPin"`
	Token   string   `json:"tokenFile"`
	JLS     string   `json:"jls,omitempty"`
}

// contexts reads the file with all contexts.
func (a *app) contexts() (config.File, error) {
	dir, err := config.Dir(a.configFlag)
	if err != nil {
		return config.File{}, withCode(exitUsage, err)
	}
	f, err := config.LoadFile(dir)
	if err != nil {
		return f, withCode(exitUsage, err)
	}
	for _, c := range f.Contexts {
		a.warn(c.Loose())
	}
	return f, nil
}

// changeContexts reads the file, changes it and writes it.
func (a *app) changeContexts(change func(*config.File) error) error {
	f, err := a.contexts()
	if err != nil {
		return err
	}
	if err := change(&f); err != nil {
		return contextError(err)
	}
	return unwritten(f.Save())
}

func contextError(err error) error {
	if errors.Is(err, config.ErrNoContext) {
		return withCode(exitNotFound, err)
	}
	if errors.As(err, new(*notWritten)) {
		return err
	}
	return withCode(exitUsage, err)
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

// unwritten makes an error of writing a file one for people; others stay as they are.
func unwritten(err error) error {
	if no := syscall.Errno(0); err != nil && errors.As(err, &no) {
		return &notWritten{err}
	}
	return err
}

func infoOf(f config.File, c config.Config) contextInfo {
	i := contextInfo{Name: c.Name, Current: c.Name == f.Current, Cluster: string(c.Cluster), Servers: c.Servers, CAPin: c.CAPin, Token: c.TokenFile}
	if c.JLS != nil {
		i.JLS = c.JLS.Server
	}
	return i
}

func (a *app) contextList() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "All clusters in the configuration", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			f, err := a.contexts()
			if err != nil {
				return err
			}
			list := []contextInfo{}
			for _, c := range f.Contexts {
				list = append(list, infoOf(f, c))
			}
			return a.show(list, strings.Join(f.Names(), "\n"), func(t *table) {
				t.head("CURRENT", "NAME", "CLUSTER", "SERVERS")
				for _, i := range list {
					mark := ""
					if i.Current {
						mark = "*"
					}
					t.row(mark, i.Name, i.Cluster, strings.Join(i.Servers, ", "))
				}
			})
		},
	}
}

func (a *app) contextShow() *cobra.Command {
	return &cobra.Command{
		Use: "show [CONTEXT]", Short: "One cluster in the configuration: the one in force, if none is named", Args: cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			f, err := a.contexts()
			if err != nil {
				return err
			}
			c, err := f.Context(append(args, a.inForce())[0])
			if err != nil {
				return contextError(err)
			}
			i := infoOf(f, c)
			return a.show(i, i.Name, func(t *table) {
				t.fields("context", i.Name, "current", i.Current, "cluster", i.Cluster, "servers", strings.Join(i.Servers, ", "), "CA pin", i.CAPin, "token file", i.Token, "JLS", i.JLS)
			})
		},
	}
}

// inForce is the context that --context or HNCTL_CONTEXT names; "" is the file's current one.
func (a *app) inForce() string {
	if a.context != "" {
		return a.context
	}
	return os.Getenv("HNCTL_CONTEXT")
}

func (a *app) contextUse() *cobra.Command {
	return &cobra.Command{
		Use: "use CONTEXT", Short: "Choose the cluster that commands work with", Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			if err := a.changeContexts(func(f *config.File) error {
				c, err := f.Context(args[0])
				f.Current = c.Name
				return err
			}); err != nil {
				return err
			}
			a.say("commands now work with %s", args[0])
			if other := os.Getenv("HNCTL_CONTEXT"); other != "" && other != args[0] {
				a.warn("HNCTL_CONTEXT is set to " + other + " and goes before: unset it")
			}
			return nil
		},
	}
}

func (a *app) contextAdd() *cobra.Command {
	var name string
	c := &cobra.Command{
		Use: "add DIR", Short: "Take in a cluster from another configuration directory, with copies of its tokens", Args: cobra.ExactArgs(1),
		Example: "  hnctl context add demo/hnctl --name demo",
		RunE: func(_ *cobra.Command, args []string) error {
			from, err := config.LoadFile(args[0])
			if err != nil {
				return withCode(exitUsage, err)
			}
			dir, err := config.Dir(a.configFlag)
			if err != nil {
				return withCode(exitUsage, err)
			}
			f, err := config.LoadFile(dir)
			if errors.Is(err, config.ErrNone) {
				f, err = config.New(dir), nil
			}
			if err != nil {
				return withCode(exitUsage, err)
			}
			undo, err := f.Add(from, name)
			if err != nil {
				undo()
				return contextError(unwritten(err))
			}
			if err := f.Save(); err != nil {
				undo()
				return unwritten(err)
			}
			added := f.Contexts[len(f.Contexts)-1].Name
			a.say("context %s is added; hnctl context use %s chooses it", added, added)
			return nil
		},
	}
	c.Flags().StringVar(&name, "name", "", "its name here (default: the one it has there)")
	return c
}

func (a *app) contextRename() *cobra.Command {
	return &cobra.Command{
		Use: "rename CONTEXT NAME", Short: "Give a context another name", Args: cobra.ExactArgs(2),
		RunE: func(_ *cobra.Command, args []string) error {
			if err := a.changeContexts(func(f *config.File) error { return f.Rename(args[0], args[1]) }); err != nil {
				return err
			}
			a.say("context %s is %s now", args[0], args[1])
			return nil
		},
	}
}

func (a *app) contextDelete() *cobra.Command {
	c := &cobra.Command{
		Use: "delete CONTEXT", Short: "Forget a cluster; nothing in it changes", Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			f, err := a.contexts()
			if err != nil {
				return err
			}
			gone, err := f.Context(args[0])
			if err != nil {
				return contextError(err)
			}
			if err := a.confirm("forget context " + gone.Name + " (cluster " + string(gone.Cluster) + ")"); err != nil {
				return err
			}
			current := f.Current
			if err := f.Delete(args[0]); err != nil {
				return contextError(err)
			}
			if err := f.Save(); err != nil {
				return unwritten(err)
			}
			a.say("context %s is forgotten; its token stays valid, in %s", gone.Name, gone.TokenPath())
			if current == gone.Name && len(f.Contexts) > 0 {
				a.say("no context is chosen now: hnctl context use %s", strings.Join(f.Names(), " | "))
			}
			return nil
		},
	}
	c.Flags().BoolVarP(&a.yes, "yes", "y", false, "don't ask")
	return c
}
