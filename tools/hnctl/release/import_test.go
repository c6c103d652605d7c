package release

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"hardnode.dev/internal/testkit/released"
	"hardnode.dev/internal/wire/operator"
)

// shelf is a cluster's API small enough to read.
type shelf struct {
	pair  *released.Pair
	files map[string][]byte // by digest
	cut   int               // requests until the network goes; negative: never
}

func (s *shelf) call(_ context.Context, method, path string, in, out any) error {
	if s.cut == 0 {
		return errors.New("the network is gone")
	}
	s.cut--
	switch in := in.(type) {
	case operator.ReleaseImport:
		got := operator.ReleaseImported{Done: true}
		for _, t := range s.pair.Targets() {
			if n := int64(len(s.files[string(t.Digest)])); n < t.Length {
				got.Done = false
				got.Missing = append(got.Missing, operator.ReleasePart{Path: t.Path, Remote: t.Remote(), Digest: t.Digest, Bytes: t.Length,
					Offset: n})
			}
		}
		*out.(*operator.ReleaseImported) = got
	case operator.ReleaseChunk:
		d := strings.TrimPrefix(path, "/releases/files/")
		if int64(len(s.files[d])) != in.Offset {
			return fmt.Errorf("%s %s: part at %d, want %d", method, path, in.Offset, len(s.files[d]))
		}
		s.files[d] = append(s.files[d], in.Data...)
	}
	return nil
}

func noise(n int, seed uint64) []byte {
	r := rand.New(rand.NewPCG(seed, 1))
	out := make([]byte, n)
	for i := range out {
		out[i] = byte(r.Uint32())
	}
	return out
}

// TestImportAndFetch: an import that is cut off goes on, and a file is fetched with the one before as its seed.
func TestImportAndFetch(t *testing.T) {
	p := released.Both(t, "cl-00000000000000aa", time.Now().Add(time.Hour))
	old := noise(3<<20, 1)
	wanted := append(append(bytes.Clone(old[:1<<20]), "a changed function"...), old[1<<20:]...)
	f := p.Release(t, "1.1.0", "host.efi", string(wanted))
	raw := p.Bundle(t, p.Targets()...)
	s := &shelf{pair: p, files: map[string][]byte{}, cut: 4}
	quiet := func(operator.ReleasePart) {}
	if _, err := send(t.Context(), s.call, bytes.NewReader(raw), quiet); err == nil {
		t.Fatal("the network went and nothing was said")
	}
	s.cut = -1
	if got, err := send(t.Context(), s.call, bytes.NewReader(raw), quiet); err != nil || !got.Done {
		t.Fatalf("again: %+v %v", got, err)
	}
	for _, x := range p.Targets() {
		if string(s.files[string(x.Digest)]) != p.Content[x.Path] {
			t.Errorf("%s arrived as another file", x.Path)
		}
	}
	delete(s.files, string(f.Digest))
	if _, err := send(t.Context(), s.call, bytes.NewReader(p.Bundle(t, p.Targets()[1:]...)), quiet); err == nil ||
		!strings.Contains(err.Error(), "lacks 1 files") {
		t.Errorf("a bundle that lacks a file: %v", err)
	}

	all := operator.Releases{Releases: []operator.Release{{Version: "1.1.0"}}}
	for _, x := range p.Targets() {
		all.Releases[0].Files = append(all.Releases[0].Files, operator.ReleaseFile{Path: x.Path, Bytes: x.Length, Digest: x.Digest,
			Index: x.Custom.Index})
	}
	dir := t.TempDir()
	seed, out := filepath.Join(dir, "old"), filepath.Join(dir, "new")
	if err := os.WriteFile(seed, old, 0o644); err != nil {
		t.Fatal(err)
	}
	lie := false
	get := func(_ context.Context, path string) (operator.ReleaseChunk, error) {
		var digest string
		var offset, length int
		digest, q, _ := strings.Cut(strings.TrimPrefix(path, "/releases/files/"), "?")
		if _, err := fmt.Sscanf(q, "length=%d&offset=%d", &length, &offset); err != nil {
			return operator.ReleaseChunk{}, err
		}
		for _, x := range p.Targets() {
			if string(x.Digest) == digest {
				data := []byte(p.Content[x.Path][offset:min(offset+length, len(p.Content[x.Path]))])
				if lie && digest == string(f.Digest) {
					data[0]++
				}
				return operator.ReleaseChunk{Data: data}, nil
			}
		}
		return operator.ReleaseChunk{}, errors.New("no such file")
	}
	lie = true
	if _, err := fetch(t.Context(), all, f.Path, out, nil, get); err == nil || !strings.Contains(err.Error(), "signed index") {
		t.Errorf("altered blocks: %v", err)
	}
	lie = false
	s1, err := fetch(t.Context(), all, f.Path, out, []string{seed}, get)
	if err != nil || s1.Fetched > 200<<10 || s1.Seeded < 2<<20 {
		t.Errorf("with a seed: %+v %v", s1, err)
	}
	if got, err := os.ReadFile(out); err != nil || !bytes.Equal(got, wanted) {
		t.Errorf("the file is another one: %v", err)
	}
	if _, err := fetch(t.Context(), all, "1.1.0/nosuch", out, nil, get); err == nil {
		t.Error("a file that is not there was fetched")
	}
}
