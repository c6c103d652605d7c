// Package contexts is hnctl's commands on the clusters that hnctl knows.
//
// Owns: how a context is added, chosen, renamed and forgotten.
// In: arguments and flags; an app.App.
// Out: a changed configuration.
// Never: knows the other nouns' commands, or decides what the orchestrator decides.
package contexts

import (
	"errors"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"hardnode.dev/tools/hnctl/app"
	"hardnode.dev/tools/hnctl/config"
)

// Group is the commands on the clusters hnctl knows.
func Group(a *app.App) *cobra.Command {
	return app.Group("context", "The clusters hnctl knows", contextList(a), contextShow(a), contextUse(a), contextAdd(a), contextRename(a),
		contextDelete(a))
}

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

func infoOf(f config.File, c config.Config) contextInfo {
	i := contextInfo{Name: c.Name, Current: c.Name == f.Current, Cluster: string(c.Cluster), Servers: c.Servers, CAPin: c.CAPin,
		Token: c.TokenFile}
	if c.JLS != nil {
		i.JLS = c.JLS.Server
	}
	return i
}

func contextList(a *app.App) *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "All clusters in the configuration", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			f, err := a.Contexts()
			if err != nil {
				return err
			}
			list := []contextInfo{}
			for _, c := range f.Contexts {
				list = append(list, infoOf(f, c))
			}
			return a.Show(list, strings.Join(f.Names(), "\n"), func(t *app.Table) {
				t.Head("CURRENT", "NAME", "CLUSTER", "SERVERS")
				for _, i := range list {
					mark := ""
					if i.Current {
						mark = "*"
					}
					t.Row(mark, i.Name, i.Cluster, strings.Join(i.Servers, ", "))
				}
			})
		},
	}
}

func contextShow(a *app.App) *cobra.Command {
	return &cobra.Command{
		Use: "show [CONTEXT]", Short: "One cluster in the configuration: the one in force, if none is named", Args: cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			f, err := a.Contexts()
			if err != nil {
				return err
			}
			c, err := f.Context(append(args, a.InForce())[0])
			if err != nil {
				return app.ContextError(err)
			}
			i := infoOf(f, c)
			return a.Show(i, i.Name, func(t *app.Table) {
				t.Fields("context", i.Name, "current", i.Current, "cluster", i.Cluster, "servers", strings.Join(i.Servers, ", "),
					"CA pin", i.CAPin, "token file", i.Token, "JLS", i.JLS)
			})
		},
	}
}

func contextUse(a *app.App) *cobra.Command {
	return &cobra.Command{
		Use: "use CONTEXT", Short: "Choose the cluster that commands work with", Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			if err := a.ChangeContexts(func(f *config.File) error {
				c, err := f.Context(args[0])
				f.Current = c.Name
				return err
			}); err != nil {
				return err
			}
			a.Say("commands now work with %s", args[0])
			if other := os.Getenv("HNCTL_CONTEXT"); other != "" && other != args[0] {
				a.Warn("HNCTL_CONTEXT is set to " + other + " and goes before: unset it")
			}
			return nil
		},
	}
}

func contextAdd(a *app.App) *cobra.Command {
	var name string
	c := &cobra.Command{
		Use: "add DIR", Short: "Take in a cluster from another configuration directory, with copies of its tokens",
		Args:    cobra.ExactArgs(1),
		Example: "  hnctl context add demo/hnctl --name demo",
		RunE: func(_ *cobra.Command, args []string) error {
			from, err := config.LoadFile(args[0])
			if err != nil {
				return app.WithCode(app.ExitUsage, err)
			}
			dir, err := config.Dir(a.ConfigFlag)
			if err != nil {
				return app.WithCode(app.ExitUsage, err)
			}
			f, err := config.LoadFile(dir)
			if errors.Is(err, config.ErrNone) {
				f, err = config.New(dir), nil
			}
			if err != nil {
				return app.WithCode(app.ExitUsage, err)
			}
			undo, err := f.Add(from, name)
			if err != nil {
				undo()
				return app.ContextError(app.Unwritten(err))
			}
			if err := f.Save(); err != nil {
				undo()
				return app.Unwritten(err)
			}
			added := f.Contexts[len(f.Contexts)-1].Name
			a.Say("context %s is added; hnctl context use %s chooses it", added, added)
			return nil
		},
	}
	c.Flags().StringVar(&name, "name", "", "its name here (default: the one it has there)")
	return c
}

func contextRename(a *app.App) *cobra.Command {
	return &cobra.Command{
		Use: "rename CONTEXT NAME", Short: "Give a context another name", Args: cobra.ExactArgs(2),
		RunE: func(_ *cobra.Command, args []string) error {
			if err := a.ChangeContexts(func(f *config.File) error { return f.Rename(args[0], args[1]) }); err != nil {
				return err
			}
			a.Say("context %s is %s now", args[0], args[1])
			return nil
		},
	}
}

func contextDelete(a *app.App) *cobra.Command {
	c := &cobra.Command{
		Use: "delete CONTEXT", Short: "Forget a cluster; nothing in it changes", Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			f, err := a.Contexts()
			if err != nil {
				return err
			}
			gone, err := f.Context(args[0])
			if err != nil {
				return app.ContextError(err)
			}
			if err := a.Confirm("forget context " + gone.Name + " (cluster " + string(gone.Cluster) + ")"); err != nil {
				return err
			}
			current := f.Current
			if err := f.Delete(args[0]); err != nil {
				return app.ContextError(err)
			}
			if err := f.Save(); err != nil {
				return app.Unwritten(err)
			}
			if gone.TokenFile != "" {
				a.Say("context %s is forgotten; its token stays valid, in %s", gone.Name, gone.TokenPath())
			}
			if gone.Session != "" {
				a.Say("somebody is signed in to %s: the session ends after 8 hours without a request, its token is %s", gone.Name,
					gone.Session)
			}
			if current == gone.Name && len(f.Contexts) > 0 {
				a.Say("no context is chosen now: hnctl context use %s", strings.Join(f.Names(), " | "))
			}
			return nil
		},
	}
	c.Flags().BoolVarP(&a.Yes, "yes", "y", false, "don't ask")
	return c
}
