package release

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"

	"github.com/spf13/cobra"

	"hardnode.dev/internal/release/block"
	"hardnode.dev/internal/release/delta"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/tools/hnctl/app"
)

func fetches(a *app.App) *cobra.Command {
	var seeds []string
	var out string
	c := &cobra.Command{Use: "fetch NAME --file FILE", Short: "Fetch a release's file, such as 1.4.0/vm-host.efi; only the blocks it lacks",
		Args: cobra.ExactArgs(1),
		Long: "Puts the file together from what an earlier try left in FILE.part, from the seeds, and from the cluster for the " +
			"rest. Every " +
			"block is compared with the file's index, and the whole file with its digest.",
		RunE: func(cmd *cobra.Command, args []string) error {
			all, err := app.Get[operator.Releases](cmd.Context(), a, "/releases")
			if err != nil {
				return err
			}
			call, err := api(a)
			if err != nil {
				return err
			}
			s, err := fetch(cmd.Context(), all, args[0], out, seeds, func(ctx context.Context, path string) (c operator.ReleaseChunk,
				err error) {
				return c, call(ctx, http.MethodGet, path, nil, &c)
			})
			if err != nil {
				return err
			}
			a.Say("%s: %d bytes were here, %d came from the seeds, %d over the network in %d requests", out, s.Kept, s.Seeded, s.Fetched,
				s.Asked)
			return nil
		}}
	c.Flags().StringVar(&out, "file", "", "the `file` to write")
	c.Flags().StringSliceVar(&seeds, "seed", nil, "`files` that may hold some of its blocks, such as the release before")
	c.MarkFlagRequired("file")
	return c
}

// fetch puts one file together; get reads a part of a release's file by its path of the API.
func fetch(ctx context.Context, all operator.Releases, name, out string, seeds []string,
	get func(context.Context, string) (operator.ReleaseChunk, error)) (s delta.Stats, err error) {
	file, ok := find(all, name)
	if !ok {
		return s, fmt.Errorf("no release that was imported has a file %q: hnctl release list", name)
	}
	part := func(f operator.ReleaseFile) delta.Get {
		return func(ctx context.Context, offset int64, length int) ([]byte, error) {
			q := url.Values{"offset": {strconv.FormatInt(offset, 10)}, "length": {strconv.Itoa(length)}}
			got, err := get(ctx, "/releases/files/"+string(f.Digest)+"?"+q.Encode())
			return got.Data, err
		}
	}
	x, err := indexOf(ctx, all, file, part)
	if err != nil {
		return s, err
	}
	to, err := os.OpenFile(out+".part", os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return s, err
	}
	defer to.Close()
	var from []io.Reader
	for _, name := range seeds {
		f, err := os.Open(name)
		if err != nil {
			return s, err
		}
		defer f.Close()
		from = append(from, f)
	}
	if s, err = delta.Fetch(ctx, x, to, from, part(file)); err != nil {
		return s, fmt.Errorf("fetch %s: %w", name, err)
	}
	h := sha256.New()
	if _, err := io.Copy(h, io.NewSectionReader(to, 0, file.Bytes+1)); err != nil {
		return s, err
	}
	if got := wire.Digest(fmt.Sprintf("sha256:%x", h.Sum(nil))); got != file.Digest {
		return s, errors.Join(fmt.Errorf("fetch %s: the whole has the digest %s, want %s: nothing is kept", name, got, file.Digest),
			os.Remove(to.Name()))
	}
	if err := to.Sync(); err != nil {
		return s, err
	}
	return s, os.Rename(to.Name(), out)
}

// indexOf is a file's block index; of one that has none, blocks that only the whole file's digest covers are no use, so it is one that is
// made of what comes.
func indexOf(ctx context.Context, all operator.Releases, f operator.ReleaseFile, part func(operator.ReleaseFile) delta.Get) (block.Index,
	error) {
	if f.Index == "" {
		raw, err := whole(ctx, f, part(f))
		if err != nil {
			return block.Index{}, err
		}
		x := block.Index{Length: int64(len(raw))}
		for at := 0; at < len(raw); at += block.Most {
			b := raw[at:min(at+block.Most, len(raw))]
			x.Blocks = append(x.Blocks, block.Block{Offset: int64(at), Length: len(b), Sum: sha256.Sum256(b)})
		}
		return x, nil
	}
	index, ok := find(all, f.Index)
	if !ok {
		return block.Index{}, fmt.Errorf("%s: its block index %s is not part of the release", f.Path, f.Index)
	}
	raw, err := whole(ctx, index, part(index))
	if err != nil {
		return block.Index{}, err
	}
	x, err := block.Decode(raw)
	if err == nil && x.Length != f.Bytes {
		err = fmt.Errorf("%s: its block index is of a file of %d bytes, it has %d", f.Path, x.Length, f.Bytes)
	}
	return x, err
}

// whole reads a small file and compares it with its digest.
func whole(ctx context.Context, f operator.ReleaseFile, get delta.Get) (out []byte, err error) {
	if f.Bytes > block.MaxIndex {
		return nil, fmt.Errorf("%s has %d bytes, at most %d are read at once", f.Path, f.Bytes, block.MaxIndex)
	}
	for int64(len(out)) < f.Bytes {
		raw, err := get(ctx, int64(len(out)), int(min(f.Bytes-int64(len(out)), operator.MaxReleasePart)))
		if err != nil {
			return nil, err
		}
		if len(raw) == 0 {
			return nil, fmt.Errorf("%s ends at byte %d of %d", f.Path, len(out), f.Bytes)
		}
		out = append(out, raw...)
	}
	if got := wire.Digest(fmt.Sprintf("sha256:%x", sha256.Sum256(out))); got != f.Digest {
		return nil, fmt.Errorf("%s has the digest %s, want %s", f.Path, got, f.Digest)
	}
	return out, nil
}

func find(all operator.Releases, path string) (operator.ReleaseFile, bool) {
	for _, r := range all.Releases {
		if i := slices.IndexFunc(r.Files, func(f operator.ReleaseFile) bool { return f.Path == path }); i >= 0 {
			return r.Files[i], true
		}
	}
	return operator.ReleaseFile{}, false
}
