// Package releases keeps the releases that this cluster imported.
//
// Owns: the folder of their files, by digest, and the document of what was believed: pins, metadata of both repositories, what they
// agree on.
// In: metadata and parts of files, as a person's tool sends them; the time.
// Out: which files are lacking, and from which byte on; the releases; the files' bytes.
// Never: keeps a file that both repositories do not name, shows one that is not whole, or forgets what it believed when an import fails.
package releases

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"hardnode.dev/internal/keep"
	"hardnode.dev/internal/release/trust"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/internal/wire/release"
)

// Reserve is left free on the volume, which the store is on too; MaxBytes is the most that all releases may have together. In bytes.
const (
	Reserve  = 512 << 20
	MaxBytes = 16 << 30
)

// Shelf is the releases. Make it with Open.
type Shelf struct {
	dir     string
	cluster wire.ClusterID
	now     func() time.Time
	free    func() (int64, error)

	mu struct {
		sync.Mutex
		record  record
		coming  []trust.Target // what the last import that is not complete names
		viewing trust.View
		served  map[string][]byte // the metadata, by repository and name
	}
}

// record is what is kept.
type record struct {
	Image    wire.Digest `json:"image,omitempty"` // pins
	Director wire.Digest `json:"director,omitempty"`
	State    trust.State `json:"state,omitzero"`
	// Roots are all root documents that State descends from, by repository and name: a host that knows the pin alone follows them.
	Roots    map[string][]byte `json:"roots,omitempty"`
	Files    []file            `json:"files,omitempty"`
	Expires  time.Time         `json:"expires,omitzero"`
	Imported time.Time         `json:"imported,omitzero"`
}

// file is a trust.Target.
type file struct {
	Path   string       `json:"path"`
	Bytes  int64        `json:"bytes"`
	Digest wire.Digest  `json:"digest"`
	Custom trust.Custom `json:"custom,omitzero"`
}

// Open reads what is kept in dir, which it makes when it is absent.
func Open(dir string, cluster wire.ClusterID, now func() time.Time) (*Shelf, error) {
	if err := os.MkdirAll(filepath.Join(dir, "files"), 0o700); err != nil {
		return nil, fmt.Errorf("make the folder of releases: %v", err)
	}
	s := &Shelf{dir: dir, cluster: cluster, now: now}
	s.free = func() (int64, error) {
		var st unix.Statfs_t
		err := unix.Statfs(dir, &st)
		return int64(st.Bavail) * st.Bsize, err
	}
	var err error
	s.mu.record, _, err = s.doc().Load()
	s.mu.served = served(s.mu.record)
	return s, err
}

func (s *Shelf) doc() keep.Doc[record] {
	return keep.Doc[record]{Path: filepath.Join(s.dir, "releases.json"), Version: 1}
}

func (s *Shelf) path(d wire.Digest) string { return filepath.Join(s.dir, "files", d.Hex()) }

// Trust says by which first roots both repositories are known. Other pins than before forget what was believed; the files stay until the
// next import.
func (s *Shelf) Trust(image, director wire.Digest) error {
	if err := errors.Join(image.Validate(), director.Validate()); err != nil {
		return operator.NewProblem(operator.Invalid, "releases/trust", err.Error(), "take the pins that `image release init` and "+
			"`jls director init` printed")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	next := s.mu.record
	if next.Image != image || next.Director != director {
		next.Roots = nil
	}
	next.Image, next.Director = image, director
	return s.save(next)
}

func (s *Shelf) save(next record) error {
	if err := s.doc().Save(next); err != nil {
		return err
	}
	s.mu.record, s.mu.served = next, served(next)
	return nil
}

// Import looks at the metadata of both repositories and says which files are lacking. When none is, the import is complete: its releases
// take the place of those before, whose files are removed.
func (s *Shelf) Import(ctx context.Context, in operator.ReleaseImport) (out operator.ReleaseImported, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.mu.record
	if r.Image == "" || r.Director == "" {
		return out, operator.NewProblem(operator.Conflict, "releases/trust", "this cluster knows no image repository and no director",
			"hnctl release trust --image-pin PIN --director-pin PIN")
	}
	anchors := trust.Anchors{Image: trust.Anchor{Name: trust.Image, Pin: r.Image},
		Director: trust.Anchor{Name: trust.Director, Pin: r.Director, Installation: s.cluster}}
	v, next, err := trust.Look(ctx, trust.Files(in.Image), trust.Files(in.Director), anchors, r.State, s.now())
	if err != nil {
		return out, refused(err)
	}
	if _, err := trust.Choose(v.Agreed, trust.Have{}); err != nil { // versions and floors must be readable
		return out, refused(err)
	}
	if err := s.room(v.Agreed); err != nil {
		return out, err
	}
	s.mu.coming = v.Agreed
	asked := map[wire.Digest]bool{} // releases have files in common, such as the kernel
	for _, t := range v.Agreed {
		if at := s.has(t); (at < t.Length || !s.whole(t)) && !asked[t.Digest] {
			asked[t.Digest] = true
			out.Missing = append(out.Missing, operator.ReleasePart{Path: t.Path, Remote: t.Remote(), Digest: t.Digest, Bytes: t.Length,
				Offset: at})
		}
	}
	if len(out.Missing) > 0 {
		return out, nil
	}
	r.Roots = roots(v, in, r.Roots)
	r.State, r.Expires, r.Imported, r.Files = next, v.Expires(), s.now().UTC().Truncate(time.Second), nil
	for _, t := range v.Agreed {
		r.Files = append(r.Files, file{t.Path, t.Length, t.Digest, t.Custom})
	}
	if err := s.save(r); err != nil {
		return out, s.full("releases", err)
	}
	s.mu.coming = nil
	s.sweep()
	out.Done, out.Releases = true, list(r)
	return out, nil
}

// Put adds a part of a file that the import under way names. It must begin where the last part ended; the last one is followed by a look at
// the whole file, which is dropped when it is not the one named.
func (s *Shelf) Put(digest wire.Digest, offset int64, data []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	object := "releases/files/" + string(digest)
	i := slices.IndexFunc(s.mu.coming, func(t trust.Target) bool { return t.Digest == digest })
	if i < 0 {
		return operator.NewProblem(operator.NotFound, object, "no import that is under way names this file", "begin the import again")
	}
	t := s.mu.coming[i]
	if at := s.has(t); at != offset || s.whole(t) {
		return operator.NewProblem(operator.Conflict, object, fmt.Sprintf("the next byte of %s is number %d, this part begins at %d",
			t.Path, at,
			offset), "begin the import again: it goes on where it was")
	}
	if offset+int64(len(data)) > t.Length {
		return operator.NewProblem(operator.Invalid, object, fmt.Sprintf("%s has %d bytes, and this part goes beyond them", t.Path,
			t.Length), "")
	}
	return s.full(object, s.add(t, offset, data))
}

// full words what a volume without room has refused.
func (s *Shelf) full(object string, err error) error {
	if !errors.Is(err, unix.ENOSPC) && !errors.Is(err, unix.EDQUOT) {
		return err
	}
	return operator.NewProblem(operator.Exhausted, object, "no room is left on the orchestrator's volume",
		"give the volume more room, or free some of it, and begin the import again: it goes on where it was")
}

func (s *Shelf) add(t trust.Target, offset int64, data []byte) error {
	f, err := os.OpenFile(s.path(t.Digest)+".part", os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := f.WriteAt(data, offset); err != nil {
		return err
	}
	if offset+int64(len(data)) < t.Length {
		return nil
	}
	return s.finish(t, f)
}

func (s *Shelf) finish(t trust.Target, f *os.File) error {
	h := sha256.New()
	n, err := io.Copy(h, io.NewSectionReader(f, 0, t.Length+1))
	if err != nil {
		return err
	}
	if bad := t.Holds(n, wire.Digest(fmt.Sprintf("sha256:%x", h.Sum(nil)))); bad != nil {
		return errors.Join(refused(bad), os.Remove(f.Name()))
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), s.path(t.Digest)); err != nil {
		return err
	}
	return keep.SyncDir(filepath.Join(s.dir, "files"))
}

// has is how many bytes of a file are here; whole tells whether all are, and were verified.
func (s *Shelf) has(t trust.Target) int64 {
	for _, name := range []string{s.path(t.Digest), s.path(t.Digest) + ".part"} {
		if st, err := os.Stat(name); err == nil {
			return st.Size()
		}
	}
	return 0
}

func (s *Shelf) whole(t trust.Target) bool {
	st, err := os.Stat(s.path(t.Digest))
	return err == nil && st.Size() == t.Length
}

// room refuses what would not fit.
func (s *Shelf) room(files []trust.Target) error {
	var all, lacking int64
	for _, t := range files {
		all += t.Length
		lacking += t.Length - s.has(t)
	}
	if all > MaxBytes {
		return operator.NewProblem(operator.Exhausted, "releases", fmt.Sprintf("the releases have %d MiB, at most %d are kept", all>>20,
			int64(MaxBytes)>>20), "assign fewer releases to this installation")
	}
	free, err := s.free()
	if err != nil {
		return fmt.Errorf("look for room for releases: %v", err)
	}
	if lacking > 0 && free-lacking < Reserve {
		return operator.NewProblem(operator.Exhausted, "releases", fmt.Sprintf("%d MiB are lacking, and the orchestrator's volume "+
			"has %d MiB "+
			"free, of which %d stay free", lacking>>20, free>>20, int64(Reserve)>>20),
			"assign fewer releases, or give the volume more room")
	}
	return nil
}

// sweep removes files that no release names any more.
func (s *Shelf) sweep() {
	entries, _ := os.ReadDir(filepath.Join(s.dir, "files")) // what can't be read is not removed
	for _, e := range entries {
		name := strings.TrimSuffix(e.Name(), ".part")
		named := slices.ContainsFunc(s.mu.record.Files, func(f file) bool { return f.Digest.Hex() == name })
		if !named || name != e.Name() {
			os.Remove(filepath.Join(s.dir, "files", e.Name()))
		}
	}
}

// List is what is kept.
func (s *Shelf) List() operator.Releases {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.mu.record
	return operator.Releases{Image: r.Image, Director: r.Director, Expires: r.Expires, Imported: r.Imported, Releases: list(r)}
}

// Read is bytes of a file of a release: at most length of them from offset on.
func (s *Shelf) Read(digest wire.Digest, offset int64, length int) ([]byte, error) {
	f, err := s.Open(digest)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	raw, err := io.ReadAll(io.NewSectionReader(f, offset, int64(length)))
	return raw, err
}

// Carries tells whether an imported release's manifest names a system with this root's digest, and whether it was imported and says which
// roots its systems have.
func (s *Shelf) Carries(version string, root wire.Digest) (it, said bool) {
	for _, r := range s.List().Releases {
		for _, f := range r.Files {
			if r.Version != version || f.Path != version+"/"+release.ManifestFile || f.Bytes > release.MaxBytes {
				continue
			}
			raw, err := s.Read(f.Digest, 0, int(f.Bytes))
			if err != nil {
				return false, false
			}
			m, err := release.Decode(raw)
			if err != nil {
				return false, false
			}
			return m.Carries(root)
		}
	}
	return false, false
}

// Open opens a file of a release.
func (s *Shelf) Open(digest wire.Digest) (*os.File, error) {
	s.mu.Lock()
	named := slices.ContainsFunc(s.mu.record.Files, func(f file) bool { return f.Digest == digest })
	s.mu.Unlock()
	if !named {
		return nil, operator.NewProblem(operator.NotFound, "releases/files/"+string(digest), "no release that was imported has this file",
			"hnctl release list")
	}
	return os.Open(s.path(digest))
}

func list(r record) []operator.Release {
	out := []operator.Release{}
	for _, f := range r.Files {
		i := slices.IndexFunc(out, func(o operator.Release) bool { return o.Version == f.Custom.Release })
		if i < 0 {
			out = append(out, operator.Release{Version: f.Custom.Release, Severity: f.Custom.Severity, Floors: f.Custom.Floors})
			i = len(out) - 1
		}
		out[i].Files = append(out[i].Files, operator.ReleaseFile{Path: f.Path, Bytes: f.Bytes, Digest: f.Digest, Arch: f.Custom.Arch,
			Index: f.Custom.Index})
	}
	return out
}

// refused is a Refusal as the API words it.
func refused(err error) error {
	var r *trust.Refusal
	if !errors.As(err, &r) {
		return err
	}
	code := operator.Invalid
	switch r.Kind {
	case trust.Older, trust.Downgrade, trust.BelowFloor, trust.Disagree, trust.Stranger:
		code = operator.Conflict
	}
	object, reason := "releases", r.Reason
	if r.Repository != "" {
		object, reason = "releases/"+string(r.Repository), string(r.Repository)+" repository: "+r.Reason
	}
	return operator.NewProblem(code, object, reason, r.Next)
}
