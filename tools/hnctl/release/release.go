// Package release is hnctl's commands on releases of the platform.
//
// Owns: how a bundle is verified without a cluster, how it is sent to one, and how a file is fetched with seeds.
// In: arguments and flags; bundles; an app.App.
// Out: tables of releases; the reason of a refusal.
// Never: believes a bundle more than a host does.
package release

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"hardnode.dev/internal/release/bundle"
	"hardnode.dev/internal/release/trust"
	"hardnode.dev/internal/run/given"
	"hardnode.dev/internal/wire"
	"hardnode.dev/tools/hnctl/app"
)

// Group is the commands on releases.
func Group(a *app.App) *cobra.Command {
	return app.Group("release", "Releases of the platform", verify(a), trusts(a), imports(a), lists(a), fetches(a))
}

// verified is what a bundle holds.
type verified struct {
	Expires  time.Time `json:"expires"`
	Releases []listed  `json:"releases"`
}

type listed struct {
	Release  string   `json:"release"`
	Severity string   `json:"severity,omitempty"`
	Floors   []string `json:"floors,omitempty"`
	Files    int      `json:"files"`
	Bytes    int64    `json:"bytes"`
}

func verify(a *app.App) *cobra.Command {
	var image, director, installation string
	c := &cobra.Command{Use: "verify FILE --image-pin PIN --director-pin PIN", Short: "Verify a bundle as a host would, without a cluster",
		Args: cobra.ExactArgs(1),
		Long: "Verifies the metadata of both repositories from their pins on, that both name the same files for the installation, " +
			"and the " +
			"content of every file. The installation is that of hnctl's configuration, unless --cluster names it.",
		RunE: func(cmd *cobra.Command, args []string) error {
			if installation == "" {
				cfg, err := a.Config()
				if err != nil {
					return errors.Join(errors.New("name the installation with --cluster, or have a configuration"), err)
				}
				installation = string(cfg.Cluster)
			}
			if err := errors.Join(wire.Digest(image).Validate(), wire.Digest(director).Validate(),
				wire.ClusterID(installation).Validate()); err != nil {
				return app.WithCode(app.ExitUsage, err)
			}
			f, err := given.Open(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			defer f.Close()
			anchors := trust.Anchors{Image: trust.Anchor{Name: trust.Image, Pin: wire.Digest(image)},
				Director: trust.Anchor{Name: trust.Director, Pin: wire.Digest(director), Installation: wire.ClusterID(installation)}}
			v, _, err := bundle.Check(cmd.Context(), f, anchors, trust.State{}, time.Now(), func(_ trust.Target, r io.Reader) error {
				_, err := io.Copy(io.Discard, r)
				return err
			})
			if err != nil {
				return fmt.Errorf("%s is refused: %w", args[0], err)
			}
			a.Say("%s: all is as both repositories say; it can be imported until %s", args[0], v.Expires().Format(time.DateTime))
			return a.Show(verified{v.Expires(), list(v.Agreed)}, strings.Join(versions(v.Agreed), "\n"), func(t *app.Table) {
				releaseTable(t, list(v.Agreed))
			})
		}}
	c.Flags().StringVar(&image, "image-pin", "", "digest of the image repository's first root, sha256:…")
	c.Flags().StringVar(&director, "director-pin", "", "digest of the director's first root, sha256:…")
	c.Flags().StringVar(&installation, "cluster", "", "id of the cluster that the bundle is for, cl-…")
	c.MarkFlagRequired("image-pin")
	c.MarkFlagRequired("director-pin")
	return c
}

func releaseTable(t *app.Table, list []listed) {
	t.Head("RELEASE", "SEVERITY", "STOP-OVERS", "FILES", "MIB")
	for _, r := range list {
		t.Row(r.Release, r.Severity, strings.Join(r.Floors, " "), r.Files, r.Bytes>>20)
	}
}

// list is the releases among files, in the files' order.
func list(files []trust.Target) (out []listed) {
	for _, f := range files {
		i := slices.IndexFunc(out, func(l listed) bool { return l.Release == f.Custom.Release })
		if i < 0 {
			out = append(out, listed{Release: f.Custom.Release, Severity: f.Custom.Severity, Floors: f.Custom.Floors})
			i = len(out) - 1
		}
		out[i].Files++
		out[i].Bytes += f.Length
	}
	return out
}

func versions(files []trust.Target) (out []string) {
	for _, r := range list(files) {
		out = append(out, r.Release)
	}
	return out
}
