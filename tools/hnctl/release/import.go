package release

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"hardnode.dev/internal/release/bundle"
	"hardnode.dev/internal/run/given"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/tools/hnctl/app"
)

// caller does one request of the API; path is below operator.Prefix.
type caller func(ctx context.Context, method, path string, in, out any) error

func imports(a *app.App) *cobra.Command {
	return &cobra.Command{Use: "import FILE", Short: "Import a bundle: its releases take the place of those before",
		Args: cobra.ExactArgs(1),
		Long: "Sends a bundle to the cluster, which believes it only by the pins it was told (hnctl release trust) and when " +
			"nothing in it is " +
			"older than what it believed before. An import that was cut off goes on when it is started again.",
		RunE: func(cmd *cobra.Command, args []string) error {
			f, err := given.Open(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			defer f.Close()
			call, err := api(a)
			if err != nil {
				return err
			}
			got, err := send(cmd.Context(), call, f, func(t operator.ReleasePart) {
				a.Say("%s: %d MiB", t.Path, (t.Bytes-t.Offset)>>20)
			})
			if err != nil {
				return err
			}
			return a.Show(got.Releases, names(got.Releases), func(t *app.Table) { table(t, got.Releases) })
		}}
}

// api is a caller over one connection: an import is a thousand requests, and the orchestrator lets one client have 128 connections.
func api(a *app.App) (caller, error) {
	c, err := a.API()
	return func(ctx context.Context, method, path string, in, out any) error {
		return c.Call(ctx, method, operator.Prefix+path, in, out)
	}, err
}

// send imports a bundle: its metadata first, then what the cluster says is lacking, then the metadata again.
func send(ctx context.Context, call caller, r io.Reader, say func(operator.ReleasePart)) (got operator.ReleaseImported, err error) {
	b, m, err := bundle.Open(r)
	if err != nil {
		return got, err
	}
	in := operator.ReleaseImport{Image: m.Image, Director: m.Director}
	if err := call(ctx, http.MethodPost, "/releases/import", in, &got); err != nil {
		return got, err
	}
	missing := got.Missing
	for {
		remote, content, err := b.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return got, err
		}
		i := slices.IndexFunc(missing, func(p operator.ReleasePart) bool { return p.Remote == remote })
		if i < 0 {
			continue
		}
		say(missing[i])
		if err := sendFile(ctx, call, missing[i], content); err != nil {
			return got, err
		}
		missing = slices.Delete(missing, i, i+1)
	}
	if len(missing) > 0 {
		return got, fmt.Errorf("the bundle lacks %d files, the first of them is %s: copy it again", len(missing), missing[0].Path)
	}
	if got.Done {
		return got, nil
	}
	got = operator.ReleaseImported{}
	if err := call(ctx, http.MethodPost, "/releases/import", in, &got); err != nil {
		return got, err
	}
	if !got.Done {
		return got, errors.New("the cluster says that files are lacking still: start the import again")
	}
	return got, nil
}

func sendFile(ctx context.Context, call caller, p operator.ReleasePart, content io.Reader) error {
	if _, err := io.CopyN(io.Discard, content, p.Offset); err != nil {
		return fmt.Errorf("%s: %v", p.Path, err)
	}
	buf := make([]byte, operator.MaxReleasePart)
	for at := p.Offset; at < p.Bytes || p.Bytes == 0; {
		n, err := io.ReadFull(content, buf)
		if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) && !(errors.Is(err, io.EOF) && p.Bytes == 0) {
			return fmt.Errorf("%s: read byte %d: %v: copy the bundle again", p.Path, at, err)
		}
		err = call(ctx, http.MethodPut, "/releases/files/"+string(p.Digest), operator.ReleaseChunk{Offset: at, Data: buf[:n]}, nil)
		if err != nil {
			return err
		}
		if at += int64(n); p.Bytes == 0 {
			return nil
		}
	}
	return nil
}

func trusts(a *app.App) *cobra.Command {
	var in operator.ReleaseTrust
	c := &cobra.Command{Use: "trust --image-pin PIN --director-pin PIN", Args: cobra.NoArgs,
		Short: "Say by which first roots the cluster knows both repositories",
		Long: "A pin is the digest of a repository's first root, as `image release init` and `jls director init` print it. Other pins " +
			"than before make the cluster forget what it believed, and with it what is too old.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := a.Confirm("believe releases by these pins from now on"); err != nil {
				return err
			}
			var got operator.Releases
			if err := a.Call(cmd.Context(), http.MethodPut, "/releases/trust", in, &got); err != nil {
				return err
			}
			return a.Show(got, "", func(t *app.Table) { t.Fields("image repository", got.Image, "director", got.Director) })
		}}
	c.Flags().StringVar((*string)(&in.Image), "image-pin", "", "digest of the image repository's first root, sha256:…")
	c.Flags().StringVar((*string)(&in.Director), "director-pin", "", "digest of the director's first root, sha256:…")
	c.Flags().BoolVarP(&a.Yes, "yes", "y", false, "don't ask")
	c.MarkFlagRequired("image-pin")
	c.MarkFlagRequired("director-pin")
	return c
}

func lists(a *app.App) *cobra.Command {
	return &cobra.Command{Use: "list", Short: "Releases that were imported", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			got, err := app.Get[operator.Releases](cmd.Context(), a, "/releases")
			if err != nil {
				return err
			}
			return a.Show(got, names(got.Releases), func(t *app.Table) {
				if got.Image == "" {
					t.Fields("believed", "nothing: say by which pins with hnctl release trust")
					return
				}
				t.Fields("image repository", got.Image, "director", got.Director, "imported", app.Stamp(got.Imported),
					"can be installed until", app.Stamp(got.Expires))
				t.Gap()
				table(t, got.Releases)
			})
		}}
}

func table(t *app.Table, list []operator.Release) {
	t.Head("RELEASE", "SEVERITY", "STOP-OVERS", "FILES", "MIB")
	for _, r := range list {
		var bytes int64
		for _, f := range r.Files {
			bytes += f.Bytes
		}
		t.Row(r.Version, r.Severity, strings.Join(r.Floors, " "), len(r.Files), bytes>>20)
	}
}

func names(list []operator.Release) string {
	return app.Joined(list, func(r operator.Release) string { return r.Version })
}
