package cli

import (
	"context"
	"errors"
	"time"

	"github.com/spf13/cobra"

	"hardnode.dev/internal/build"
	"hardnode.dev/internal/wire/operator"
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

func (a *app) version() *cobra.Command {
	var only bool
	c := &cobra.Command{
		Use: "version", Short: "Versions of hnctl and of the cluster it works with", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			v := versions{Client: clientVersion{Version: build.Version}}
			if t := build.When(); t.Unix() > 0 {
				v.Client.Built = t
			}
			if !only {
				if err := a.serverVersion(cmd.Context(), &v); err != nil {
					return err
				}
			}
			return a.show(v, v.Client.Version, func(t *table) {
				t.fields("client", v.Client.Version, "built", stamp(v.Client.Built))
				if s := v.Server; s != nil {
					t.fields("server", s.Version+" ("+s.Name+")")
				}
			})
		},
	}
	c.Flags().BoolVar(&only, "client", false, "ask no server")
	return c
}

// serverVersion asks the cluster. That there is none, or that it doesn't answer, is only said: the client's version is known all the same.
func (a *app) serverVersion(ctx context.Context, v *versions) error {
	if errors.Is(ctx.Err(), context.Canceled) {
		return context.Cause(ctx)
	}
	ctx, cancel := context.WithTimeout(ctx, versionWait)
	defer cancel()
	c, err := get[operator.Cluster](ctx, a, "/cluster")
	if err != nil {
		a.say("no version of the server: %s", explain(err))
		return nil
	}
	v.Server = &serverVersion{Version: c.Version, Cluster: string(c.ID), Name: c.Name}
	return nil
}
