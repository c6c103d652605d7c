package jls

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"hardnode.dev/internal/release/bundle"
	"hardnode.dev/internal/release/trust"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/jls"
	"hardnode.dev/tools/hnctl/app"
)

// releases is the commands on the director: who shall run which release.
func releases(a *app.App) *cobra.Command {
	return app.Group("release", "Which installation shall have which release", releaseOffer(a), releaseList(a), releaseAssign(a),
		releaseBundle(a))
}

func releaseOffer(a *app.App) *cobra.Command {
	return &cobra.Command{Use: "offer DIR", Short: "Offer the releases that an image repository names; those before are offered no more",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			r, err := openRepository(cmd, args[0])
			if err != nil {
				return err
			}
			var o jls.Offer
			for _, t := range r.repo.Targets {
				o.Files = append(o.Files, jls.ReleaseFile{Path: t.Path, Release: t.Custom.Release, Length: t.Length, Digest: t.Digest})
			}
			slices.SortFunc(o.Files, func(a, b jls.ReleaseFile) int { return strings.Compare(a.Path, b.Path) })
			return changeReleases(cmd, a, http.MethodPut, jls.PathReleases, o)
		}}
}

func releaseList(a *app.App) *cobra.Command {
	return &cobra.Command{Use: "list", Short: "Releases offered, and who shall have them", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return changeReleases(cmd, a, http.MethodGet, jls.PathReleases, nil)
		}}
}

func releaseAssign(a *app.App) *cobra.Command {
	return &cobra.Command{Use: "assign INSTALLATION VERSION…", Short: "Say which release an installation shall have, and its stop-overs",
		Args: cobra.MinimumNArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			return changeReleases(cmd, a, http.MethodPut, jls.PathInstallations+"/"+url.PathEscape(args[0])+"/releases",
				jls.Assign{Releases: args[1:]})
		}}
}

// changeReleases asks the licence server, and shows what is offered then.
func changeReleases(cmd *cobra.Command, a *app.App, method, path string, in any) error {
	var got jls.Releases
	if err := Call(cmd.Context(), a, method, path, in, &got); err != nil {
		return err
	}
	type row struct {
		files, bytes int64
		who          []string
	}
	rows, order := map[string]*row{}, []string{}
	for _, f := range got.Files {
		if rows[f.Release] == nil {
			rows[f.Release] = &row{}
			order = append(order, f.Release)
		}
		rows[f.Release].files++
		rows[f.Release].bytes += f.Length
	}
	for id, list := range got.Assigned {
		for _, r := range list {
			if rows[r] != nil {
				rows[r].who = append(rows[r].who, string(id))
			}
		}
	}
	return a.Show(got, strings.Join(order, "\n"), func(t *app.Table) {
		t.Head("RELEASE", "FILES", "MIB", "FOR")
		for _, r := range order {
			slices.Sort(rows[r].who)
			t.Row(r, rows[r].files, rows[r].bytes>>20, strings.Join(rows[r].who, " "))
		}
	})
}

func releaseBundle(a *app.App) *cobra.Command {
	var repo, out string
	c := &cobra.Command{Use: "bundle INSTALLATION --repo DIR --file FILE",
		Short: "Write one file with what a closed site imports: hnctl release import", Args: cobra.ExactArgs(1),
		Long: "Writes the image repository's metadata, the director's for this installation (good for half a year), and the files " +
			"that both " +
			"name. Sign the repository with --closed before, so that its timestamp lasts as long.",
		RunE: func(cmd *cobra.Command, args []string) error {
			r, err := openRepository(cmd, repo)
			if err != nil {
				return err
			}
			var list []jls.Installation
			if err := Call(cmd.Context(), a, http.MethodGet, jls.PathInstallations, nil, &list); err != nil {
				return err
			}
			i := slices.IndexFunc(list, func(x jls.Installation) bool { return string(x.ID) == args[0] })
			if i < 0 {
				return fmt.Errorf("installation %q is not known to the licence server: hnctl jls installation list", args[0])
			}
			var reply jls.DirectorReply
			path := jls.PathInstallations + "/" + url.PathEscape(args[0]) + "/director"
			if err := Call(cmd.Context(), a, http.MethodGet, path, nil, &reply); err != nil {
				return err
			}
			m := bundle.Metadata{Image: r.files, Director: trust.Files(reply.Files)}
			anchors := trust.Anchors{Image: trust.Anchor{Name: trust.Image, Pin: pinOf(m.Image)},
				Director: trust.Anchor{Name: trust.Director, Pin: pinOf(m.Director), Installation: list[i].Cluster}}
			v, _, err := trust.Look(cmd.Context(), m.Image, m.Director, anchors, trust.State{}, time.Now())
			if err != nil {
				return err
			}
			if err := writeBundle(out, m, v.Agreed, repo); err != nil {
				return err
			}
			a.Say("%s: %d files for %s, can be imported until %s", out, len(v.Agreed), args[0], v.Expires().Format(time.DateOnly))
			a.Say("image repository's pin:  %s", anchors.Image.Pin)
			a.Say("director's pin:          %s", anchors.Director.Pin)
			return nil
		}}
	c.Flags().StringVar(&repo, "repo", "", "the image repository's `folder`")
	c.Flags().StringVar(&out, "file", "", "the `file` to write")
	c.MarkFlagRequired("repo")
	c.MarkFlagRequired("file")
	return c
}

func writeBundle(out string, m bundle.Metadata, files []trust.Target, repo string) (err error) {
	f, err := os.OpenFile(out+".part", os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			os.Remove(f.Name())
		}
	}()
	err = bundle.Write(f, m, files, func(t trust.Target) (io.ReadCloser, error) {
		in, err := os.Open(filepath.Join(repo, "targets", filepath.FromSlash(t.Remote())))
		if err != nil {
			return nil, fmt.Errorf("the repository's file of %s: %v", t.Path, err)
		}
		return struct {
			io.Reader
			io.Closer
		}{bundle.Verified(t, in), in}, nil
	})
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), out)
}

// repository is an image repository in a folder, as a client sees it.
type repository struct {
	repo  trust.Repo
	files trust.Files // what a client needs of its metadata
}

func openRepository(cmd *cobra.Command, dir string) (r repository, err error) {
	from := trust.Folder{FS: os.DirFS(filepath.Join(dir, "metadata"))}
	r.files = trust.Files{}
	for n := int64(1); ; n++ {
		name := strconv.FormatInt(n, 10) + ".root.json"
		raw, err := from.Get(cmd.Context(), name, trust.RootLimit)
		if errors.Is(err, trust.ErrAbsent) && n > 1 {
			break
		}
		if err != nil {
			return r, fmt.Errorf("read the image repository %q: %s: %v; image release init begins one", dir, name, err)
		}
		r.files[name] = raw
	}
	r.repo, _, err = trust.Refresh(cmd.Context(), from, trust.Anchor{Name: trust.Image, Pin: pinOf(r.files)}, trust.Kept{}, time.Now())
	if err != nil {
		return r, err
	}
	v := r.repo.Versions
	for _, name := range []string{fmt.Sprintf("%d.targets.json", v.Targets), fmt.Sprintf("%d.snapshot.json", v.Snapshot),
		"timestamp.json"} {
		if r.files[name], err = from.Get(cmd.Context(), name, trust.TargetsLimit); err != nil {
			return r, fmt.Errorf("read the image repository %q: %s: %v", dir, name, err)
		}
	}
	return r, nil
}

func pinOf(f trust.Files) wire.Digest {
	return wire.Digest(fmt.Sprintf("sha256:%x", sha256.Sum256(f["1.root.json"])))
}
