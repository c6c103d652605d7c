package cli

import (
	"context"
	"errors"
	"time"

	"github.com/spf13/cobra"

	"hardnode.dev/internal/build"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/tools/hnctl/app"
)

// versionWait is how long `hnctl version` waits for the server: the client's own version should not hang on it.
const versionWait = 5 * time.Second

// versions is what `hnctl version` says.
type versions struct {
	Client clientVersion  `json:"client"`
	Server *serverVersion `json:"server,omitempty"`
}

type clientVersion struct {
	Version string    `json:"version"`
	Built   time.Time `json:"built,omitzero"` // time of the commit it was built from
}

type serverVersion struct {
	Version string `json:"version"`
	Cluster string `json:"cluster"`
	Name    string `json:"name"`
}

func version(a *app.App) *cobra.Command {
	var only bool
	c := &cobra.Command{
		Use: "version", Short: "Versions of hnctl and of the cluster it works with", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			v := versions{Client: clientVersion{Version: build.Version}}
			if t := build.When(); t.Unix() > 0 {
				v.Client.Built = t
			}
			if !only {
				if err := askServer(cmd.Context(), a, &v); err != nil {
					return err
				}
			}
			return a.Show(v, v.Client.Version, func(t *app.Table) {
				t.Fields("client", v.Client.Version, "built", app.Stamp(v.Client.Built))
				if s := v.Server; s != nil {
					t.Fields("server", s.Version+" ("+s.Name+")")
				}
			})
		},
	}
	c.Flags().BoolVar(&only, "client", false, "ask no server")
	return c
}

// serverVersion asks the cluster. That there is none, or that it doesn't answer, is only said: the client's version is known all the same.
func askServer(ctx context.Context, a *app.App, v *versions) error {
	if errors.Is(ctx.Err(), context.Canceled) {
		return context.Cause(ctx)
	}
	ctx, cancel := context.WithTimeout(ctx, versionWait)
	defer cancel()
	c, err := app.Get[operator.Cluster](ctx, a, "/cluster")
	if err != nil {
		a.Say("no version of the server: %s", app.Explain(err))
		return nil
	}
	v.Server = &serverVersion{Version: c.Version, Cluster: string(c.ID), Name: c.Name}
	return nil
}
