// Package released makes signed releases for tests: an image repository and a director that name some files.
//
// Owns: their keys, for the length of a test.
// In: files by path and content; the installation they are for.
// Out: metadata, pins, bundles.
// Never: ships, or is believed by anything that was not told its pins.
package released

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"hardnode.dev/internal/release/block"
	"hardnode.dev/internal/release/bundle"
	"hardnode.dev/internal/release/issue"
	"hardnode.dev/internal/release/trust"
	"hardnode.dev/internal/wire"
)

// Repository is one of the two, with one key for all of its roles.
type Repository struct {
	Name         trust.Name
	Installation wire.ClusterID
	Files        trust.Files // its metadata

	key   ed25519.PrivateKey
	set   issue.Set
	until time.Time
}

// New begins a repository whose documents end at a time.
func New(t testing.TB, name trust.Name, installation wire.ClusterID, until time.Time) *Repository {
	t.Helper()
	pub, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	keys := []ed25519.PublicKey{pub}
	root, err := issue.FirstRoot(issue.Roles{Root: keys, Threshold: 1, Targets: keys, Snapshot: keys, Timestamp: keys},
		[]ed25519.PrivateKey{key}, until)
	if err != nil {
		t.Fatal(err)
	}
	return &Repository{Name: name, Installation: installation, Files: trust.Files{"1.root.json": root}, key: key, until: until}
}

// Anchor is how a client knows it.
func (r *Repository) Anchor() trust.Anchor {
	return trust.Anchor{Name: r.Name, Installation: r.Installation,
		Pin: wire.Digest(fmt.Sprintf("sha256:%x", sha256.Sum256(r.Files["1.root.json"])))}
}

// Rotate makes another root, which is in force from now on.
func (r *Repository) Rotate(t testing.TB) {
	t.Helper()
	n := 1
	for r.Files[fmt.Sprintf("%d.root.json", n+1)] != nil {
		n++
	}
	keys := []ed25519.PublicKey{r.key.Public().(ed25519.PublicKey)}
	next, err := issue.NextRoot(r.Files[fmt.Sprintf("%d.root.json", n)], issue.Roles{Root: keys, Threshold: 1, Targets: keys,
		Snapshot: keys, Timestamp: keys}, []ed25519.PrivateKey{r.key}, r.until)
	if err != nil {
		t.Fatal(err)
	}
	r.Files[fmt.Sprintf("%d.root.json", n+1)] = next
}

// Publish names these files from now on.
func (r *Repository) Publish(t testing.TB, files ...trust.Target) {
	t.Helper()
	named := issue.Files{}
	for _, f := range files {
		named[f.Path] = f
	}
	set := r.set
	var err error
	if set.Targets, err = issue.Targets(set.Targets, named, r.Installation, r.key, r.until); err != nil {
		t.Fatal(err)
	}
	if set.Snapshot, err = issue.Snapshot(set.Snapshot, set.Targets, r.Installation, r.key, r.until); err != nil {
		t.Fatal(err)
	}
	if set.Timestamp, err = issue.Timestamp(set.Timestamp, set.Snapshot, r.Installation, r.key, r.until); err != nil {
		t.Fatal(err)
	}
	r.set = set
	v, err := issue.Version(set.Targets)
	if err != nil {
		t.Fatal(err)
	}
	_, targets, snapshot, timestamp := issue.Names(trust.Versions{Targets: v, Snapshot: v})
	r.Files[targets], r.Files[snapshot], r.Files[timestamp] = set.Targets, set.Snapshot, set.Timestamp
}

// Pair is both repositories and the content of what they name.
type Pair struct {
	Image, Director *Repository
	Content         map[string]string // by path
}

// Both begins both for an installation.
func Both(t testing.TB, installation wire.ClusterID, until time.Time) *Pair {
	t.Helper()
	return &Pair{Image: New(t, trust.Image, "", until), Director: New(t, trust.Director, installation, until), Content: map[string]string{}}
}

// Release has both name a release's file beside all before, with its block index, and returns it.
func (p *Pair) Release(t testing.TB, version, name, content string) trust.Target {
	t.Helper()
	x, err := block.Make(strings.NewReader(content))
	if err != nil {
		t.Fatal(err)
	}
	path := version + "/" + name
	p.Content[path], p.Content[path+".blocks"] = content, string(x.Encode())
	p.publish(t)
	return p.target(path)
}

func (p *Pair) publish(t testing.TB) {
	t.Helper()
	files := p.Targets()
	p.Image.Publish(t, files...)
	p.Director.Publish(t, files...)
}

func (p *Pair) target(path string) trust.Target {
	release, _, _ := strings.Cut(path, "/")
	c := p.Content[path]
	t := trust.Target{Path: path, Length: int64(len(c)), Digest: wire.Digest(fmt.Sprintf("sha256:%x", sha256.Sum256([]byte(c)))),
		Custom: trust.Custom{Release: release, Severity: "normal"}}
	if _, ok := p.Content[path+".blocks"]; ok {
		t.Custom.Index = path + ".blocks"
	}
	return t
}

// Targets is all that both name, by path.
func (p *Pair) Targets() (out []trust.Target) {
	for _, path := range slices.Sorted(maps.Keys(p.Content)) {
		out = append(out, p.target(path))
	}
	return out
}

// Anchors are how a client knows both.
func (p *Pair) Anchors() trust.Anchors {
	return trust.Anchors{Image: p.Image.Anchor(), Director: p.Director.Anchor()}
}

// Bundle is all of it in one file, with these targets' content.
func (p *Pair) Bundle(t testing.TB, files ...trust.Target) []byte {
	t.Helper()
	var out bytes.Buffer
	err := bundle.Write(&out, bundle.Metadata{Image: p.Image.Files, Director: p.Director.Files}, files,
		func(f trust.Target) (io.ReadCloser, error) {
			return io.NopCloser(strings.NewReader(p.Content[f.Path])), nil
		})
	if err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}
