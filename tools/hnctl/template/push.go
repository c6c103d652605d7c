package template

import (
	"archive/tar"
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/spf13/cobra"

	"hardnode.dev/internal/identity"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/document"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/tools/hnctl/app"
	"hardnode.dev/tools/hnctl/client"
	"hardnode.dev/tools/templates/recipe"
)

func templatePush(a *app.App) *cobra.Command {
	var as, beside string
	c := &cobra.Command{
		Use: "push IMAGE", Short: "Push an OCI image to the registry and make a template of it", Args: cobra.ExactArgs(1),
		Long: "IMAGE is an OCI layout (a directory, or a tar of one) or what `docker save` writes. The registry makes the " +
			"template of it and\nhnctl waits for that. --with names a template.yaml, as those of tools/templates without debian: what it " +
			"says of process, ports,\ncheck, volumes and JEM counts more than what the image says, and what it leaves out stays " +
			"as the image has it.",
		Example: "  hnctl template push out/templates/nginx\n  hnctl template push app.tar --name app:1.4\n" +
			"  hnctl template push app.tar --with template.yaml",
		RunE: func(cmd *cobra.Command, args []string) error {
			return push(cmd.Context(), a, args[0], as, beside)
		},
	}
	c.Flags().StringVar(&as, "name", "", "name, or name:tag (default: that of --with, or the file's name, tag latest)")
	c.Flags().StringVar(&beside, "with", "", "file that says how the image runs as a template")
	return c
}

func push(ctx context.Context, a *app.App, path, as, beside string) error {
	var r recipe.Recipe
	if beside != "" {
		raw, err := a.ReadFile(ctx, beside, document.MaxBytes)
		if err != nil {
			return err
		}
		if r, err = readRecipe(beside, raw); err != nil {
			return app.WithCode(app.ExitUsage, err)
		}
		as = cmp.Or(as, string(r.Name))
	}
	to, err := templateName(path, as)
	if err != nil {
		return app.WithCode(app.ExitUsage, err)
	}
	cfg, u, token, err := a.Registry()
	if err != nil {
		return err
	}
	img, done, err := openImage(path)
	if err != nil {
		return app.WithCode(app.ExitUsage, err)
	}
	defer done()
	if err := whole(img); err != nil {
		return app.WithCode(app.ExitUsage, fmt.Errorf("read image %q: %v; build or copy the image again", path, err))
	}
	if beside != "" {
		if img, err = with(img, r); err != nil {
			return app.WithCode(app.ExitUsage, fmt.Errorf("put %s onto image %q: %v", beside, path, err))
		}
	}
	ref, err := name.ParseReference(u.Host + "/" + string(to))
	if err != nil {
		return app.WithCode(app.ExitUsage, err)
	}
	if a.Timeout == app.UsualTimeout {
		a.Timeout = app.PushTimeout
	}
	ctx, cancel := a.Limit(ctx)
	defer cancel()
	trust := identity.Trust{Pin: cfg.CAPin, Cluster: cfg.Cluster}
	t := &http.Transport{TLSClientConfig: identity.ClientTLS(trust, identity.WantComponent("registry"), nil),
		TLSHandshakeTimeout: 10 * time.Second}
	defer t.CloseIdleConnections()
	a.Say("pushing %s to %s", to, u.Host)
	if err := remote.Write(ref, img, remote.WithContext(ctx), remote.WithTransport(https{client.Watched(t)}),
		remote.WithAuth(&authn.Basic{Username: "hnctl", Password: token.Reveal()})); err != nil {
		var no *client.Unreachable
		if errors.As(err, &no) {
			err = no // without the request around it
		}
		return fmt.Errorf("push %s: %w", to, err)
	}
	a.Say("importing %s", to)
	var got host.Template
	if err := client.Registry(cfg.Registry.Server, trust, token).Call(ctx, http.MethodPost, host.PathImport, host.ImportRequest{Name: to},
		&got); err != nil {
		var slow interface{ Timeout() bool }
		if errors.As(err, &slow) && slow.Timeout() {
			a.Say("the image is pushed and its import goes on: `hnctl template list` says how far it is")
		}
		return fmt.Errorf("import %s: %w", to, err)
	}
	for _, n := range got.Notes {
		a.Say("note: %s", n)
	}
	for _, w := range got.Warnings {
		a.Say("warning: %s", w)
	}
	return a.Show(got, string(got.Name), func(tab *app.Table) {
		tab.Head("NAME", "SIZE", "PROCESS", "DIGEST")
		tab.Row(got.Name, fmt.Sprintf("%.1f MiB", float64(got.Bytes)/(1<<20)), strings.Join(got.Process.Argv, " "),
			app.Short(got.Digest.Hex()))
	})
}

// templateName is the name the flag gives, or the file's without its endings.
func templateName(path, as string) (wire.TemplateName, error) {
	n := as
	if n == "" {
		n = filepath.Base(filepath.Clean(path))
		for _, end := range []string{".tar", ".oci"} {
			n = strings.TrimSuffix(n, end)
		}
	}
	if !strings.Contains(n, ":") {
		n += ":latest"
	}
	return wire.TemplateName(n), wire.TemplateName(n).Validate()
}

// openImage reads an OCI layout from a directory or a tar, or a tar that docker saved. done removes what was unpacked for it.
func openImage(path string) (img v1.Image, done func(), err error) {
	done = func() {}
	st, err := os.Stat(path)
	if err != nil {
		return nil, done, err
	}
	if st.IsDir() {
		img, err = fromLayout(path)
		return img, done, err
	}
	if img, err := tarball.ImageFromPath(path, nil); err == nil {
		return img, done, nil
	}
	dir, err := os.MkdirTemp("", "hnctl-image-*")
	if err != nil {
		return nil, done, err
	}
	done = func() { os.RemoveAll(dir) }
	if err = untar(path, dir); err == nil {
		img, err = fromLayout(dir)
	}
	if err != nil {
		done()
		return nil, func() {}, fmt.Errorf("read image %q: it is neither an OCI layout nor what docker save writes: %v", path, err)
	}
	return img, done, nil
}

func fromLayout(dir string) (v1.Image, error) {
	index, err := layout.ImageIndexFromPath(dir)
	if err != nil {
		return nil, fmt.Errorf("read image %q: %v", dir, err)
	}
	img, err := ofPlatform(index, 0)
	if err != nil {
		return nil, fmt.Errorf("read image %q: %v", dir, err)
	}
	return img, nil
}

// levels is how deep indexes may lie in each other.
const levels = 4

// ofPlatform is the image for the hosts' platform in an index, however it lies there (OCI image-index): signatures, attestations and images
// for others are passed over. An only image that names no platform is taken.
func ofPlatform(index v1.ImageIndex, level int) (v1.Image, error) {
	list, err := index.IndexManifest()
	if err != nil {
		return nil, err
	}
	if level >= levels {
		return nil, fmt.Errorf("its indexes lie more than %d deep in each other", levels)
	}
	var has []string
	var unnamed []v1.Descriptor
	for _, m := range list.Manifests {
		switch {
		case m.Annotations["vnd.docker.reference.type"] != "": // what builders attest, beside the image
		case m.MediaType.IsIndex():
			inner, err := index.ImageIndex(m.Digest)
			if err != nil {
				return nil, err
			}
			img, err := ofPlatform(inner, level+1)
			if err == nil {
				return img, nil
			}
			has = append(has, err.Error())
		case !m.MediaType.IsImage():
			has = append(has, "something of type "+string(m.MediaType))
		case m.Platform == nil || m.Platform.OS == "" && m.Platform.Architecture == "":
			unnamed = append(unnamed, m)
		case m.Platform.OS == "linux" && m.Platform.Architecture == "amd64":
			return index.Image(m.Digest)
		default:
			has = append(has, m.Platform.OS+"/"+m.Platform.Architecture)
		}
	}
	switch {
	case len(unnamed) == 1:
		return index.Image(unnamed[0].Digest)
	case len(unnamed) > 1:
		return nil, fmt.Errorf("it holds %d images that name no platform, want one: write each to a folder of its own", len(unnamed))
	case len(list.Manifests) == 0:
		return nil, errors.New("its index is empty")
	}
	return nil, fmt.Errorf("it has no image for linux/amd64, but %s: build it with --platform linux/amd64", strings.Join(has, ", "))
}

// whole says which part of an image is not what its manifest names: better here than after the upload.
func whole(img v1.Image) error {
	m, err := img.Manifest()
	if err != nil {
		return err
	}
	raw, err := img.RawConfigFile()
	if err != nil {
		return fmt.Errorf("configuration %s: %v", m.Config.Digest, err)
	}
	if got, _, err := v1.SHA256(bytes.NewReader(raw)); err != nil || got != m.Config.Digest {
		return errors.Join(err, fmt.Errorf("configuration %s: its content has digest %s", m.Config.Digest, got))
	}
	layers, err := img.Layers()
	if err != nil {
		return err
	}
	for i, l := range layers {
		if err := matches(l, m.Layers[i].Digest); err != nil {
			return fmt.Errorf("layer %s: %v", m.Layers[i].Digest, err)
		}
	}
	return nil
}

func matches(l v1.Layer, want v1.Hash) error {
	r, err := l.Compressed()
	if err != nil {
		return err
	}
	defer r.Close()
	got, _, err := v1.SHA256(r)
	if err == nil && got != want {
		err = fmt.Errorf("its content has digest %s", got)
	}
	return err
}

// untar unpacks plain files and directories; a name can't leave dir.
func untar(path, dir string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	for r := tar.NewReader(f); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		switch h.Typeflag {
		case tar.TypeDir:
			if err := root.Mkdir(filepath.Clean(h.Name), 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
				return err
			}
		case tar.TypeReg:
			if err := root.MkdirAll(filepath.Dir(h.Name), 0o700); err != nil {
				return err
			}
			out, err := root.OpenFile(h.Name, os.O_CREATE|os.O_WRONLY|os.O_EXCL, 0o600)
			if err != nil {
				return err
			}
			_, err = io.Copy(out, r)
			if err := errors.Join(err, out.Close()); err != nil {
				return err
			}
		}
	}
}

// https asks over TLS although the OCI library takes a loopback address for plain HTTP.
type https struct{ http.RoundTripper }

func (h https) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Scheme == "http" {
		r = r.Clone(r.Context())
		r.URL.Scheme = "https"
	}
	return h.RoundTripper.RoundTrip(r)
}
