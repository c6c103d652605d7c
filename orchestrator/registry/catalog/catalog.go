// Package catalog keeps the templates' erofs files and the list of them.
//
// Owns: <dir>/<hex digest>.erofs and <dir>/catalog.json; that a file is whole and named by its own SHA-256, or isn't there.
// In: images to write, Template records.
// Out: the list, opened files.
// Never: leaves half an image behind, or lists a template whose file is missing.
package catalog

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"hardnode.dev/internal/keep"
	"hardnode.dev/internal/logging"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
)

// ErrFull: the disk, or the quota of the volume, has no room for an image.
var ErrFull = errors.New("no room on the disk")

// ErrDamaged: the file's content is not what its name says.
var ErrDamaged = errors.New("its content has another digest")

// ErrNone: there is no such image.
var ErrNone = errors.New("no such image")

const (
	suffix    = ".erofs"
	tempStart = ".import-"
)

// Image is an image while it is made: what was written can be read back.
type Image interface {
	io.WriterAt
	io.ReaderAt
}

// file is what Build needs of an *os.File; tests put faults behind it.
type file interface {
	Image
	io.Reader
	io.Seeker
	Sync() error
	Close() error
	Name() string
	reserve(size int64) error
}

// Catalog is the store. Its methods may be called at once.
type Catalog struct {
	dir    string
	doc    keep.Doc[document]
	create func(dir string) (file, error)

	mu    sync.Mutex
	list  []host.Template           // sorted by name
	fresh map[wire.Digest]time.Time // images that were built and are not recorded yet
}

type document struct {
	Templates []host.Template `json:"templates"`
}

// Open reads the catalog in dir, which it makes. What an interrupted import left is removed; a record whose file is missing or has
// another size is dropped, and the log says so.
func Open(dir string, log *slog.Logger) (*Catalog, error) {
	log = logging.Or(log)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("open catalog: %v", err)
	}
	left, err := filepath.Glob(filepath.Join(dir, tempStart+"*"))
	if err != nil {
		return nil, fmt.Errorf("open catalog %q: %v", dir, err)
	}
	for _, l := range left {
		if err := os.Remove(l); err != nil {
			return nil, fmt.Errorf("open catalog: remove what an import left: %v", err)
		}
		log.Info("removed what an interrupted import left", "file", filepath.Base(l))
	}
	c := &Catalog{dir: dir, doc: keep.Doc[document]{Path: filepath.Join(dir, "catalog.json"), Version: 1}, create: createTemp,
		fresh: map[wire.Digest]time.Time{}}
	d, _, err := c.doc.Load()
	if err != nil {
		return nil, fmt.Errorf("open catalog: %w", err)
	}
	for _, t := range d.Templates {
		st, err := os.Stat(c.path(t.Digest))
		switch {
		case errors.Is(err, fs.ErrNotExist):
			log.Warn("template dropped: its image is missing; push it again", "template", t.Name, "digest", t.Digest)
		case err != nil:
			return nil, fmt.Errorf("open catalog: %v", err)
		case st.Size() != t.Bytes:
			log.Warn("template dropped: its image has another size; push it again", "template", t.Name, "digest", t.Digest,
				"bytes", st.Size(), "want", t.Bytes)
		default:
			c.list = append(c.list, t)
		}
	}
	return c, nil
}

func (c *Catalog) path(d wire.Digest) string { return filepath.Join(c.dir, d.Hex()+suffix) }

// List is all templates, sorted by name.
func (c *Catalog) List() []host.Template {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.list)
}

// ByOCI is a template made from the OCI manifest d.
func (c *Catalog) ByOCI(d wire.Digest) (host.Template, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, t := range c.list {
		if t.OCI == d {
			return t, true
		}
	}
	return host.Template{}, false
}

// Put records t durably in the place of an older template of the same name. The image of that one stays: nodes may still need it.
func (c *Catalog) Put(t host.Template) error {
	if err := t.Validate(); err != nil {
		return fmt.Errorf("record template: %v", err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, err := os.Stat(c.path(t.Digest)); err != nil {
		return fmt.Errorf("record template %q: %w: %v", t.Name, ErrNone, err)
	}
	next := slices.DeleteFunc(slices.Clone(c.list), func(o host.Template) bool { return o.Name == t.Name })
	next = append(next, t)
	slices.SortFunc(next, func(a, b host.Template) int { return strings.Compare(string(a.Name), string(b.Name)) })
	if len(next) > host.MaxTemplates {
		return fmt.Errorf("record template %q: there are %d templates already", t.Name, host.MaxTemplates)
	}
	if err := c.doc.Save(document{next}); err != nil {
		return fmt.Errorf("record template %q: %w", t.Name, full(err))
	}
	c.list = next
	delete(c.fresh, t.Digest)
	return nil
}

// Remove drops the template name, durably; its image stays until it is collected. ok says whether there was one.
func (c *Catalog) Remove(name wire.TemplateName) (t host.Template, ok bool, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	at := slices.IndexFunc(c.list, func(o host.Template) bool { return o.Name == name })
	if at < 0 {
		return t, false, nil
	}
	t = c.list[at]
	next := slices.Delete(slices.Clone(c.list), at, at+1)
	if err := c.doc.Save(document{next}); err != nil {
		return t, true, fmt.Errorf("remove template %q: %w", name, full(err))
	}
	c.list = next
	return t, true, nil
}

// freshFor is how long an image that was built may wait for its record.
const freshFor = time.Hour

// Collect removes the images that are no template's, were not just built, and that may says nobody needs; bytes are what that freed, later
// is the rest of what no template names.
func (c *Catalog) Collect(may func(wire.Digest) bool) (n int, bytes, later int64, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	files, err := filepath.Glob(filepath.Join(c.dir, "*"+suffix))
	if err != nil {
		return 0, 0, 0, fmt.Errorf("list images: %v", err)
	}
	for _, f := range files {
		d := wire.Digest("sha256:" + strings.TrimSuffix(filepath.Base(f), suffix))
		st, err := os.Stat(f)
		if err != nil || d.Validate() != nil || slices.ContainsFunc(c.list, func(t host.Template) bool { return t.Digest == d }) {
			continue
		}
		if at, ok := c.fresh[d]; ok && time.Since(at) < freshFor || !may(d) {
			later += st.Size()
			continue
		}
		if err := os.Remove(f); err != nil {
			return n, bytes, later, fmt.Errorf("remove image %s: %v", d, err)
		}
		delete(c.fresh, d)
		n, bytes = n+1, bytes+st.Size()
	}
	return n, bytes, later, nil
}

// Image opens the erofs file d; ErrNone if there is none.
func (c *Catalog) Image(d wire.Digest) (*os.File, error) {
	if err := d.Validate(); err != nil {
		return nil, fmt.Errorf("open image: %w: %v", ErrNone, err)
	}
	f, err := os.Open(c.path(d))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("open image %s: %w", d, ErrNone)
	}
	if err != nil {
		return nil, fmt.Errorf("open image %s: %v", d, err)
	}
	return f, nil
}

// Check reads the erofs file d: ErrDamaged if its content is not d.
func (c *Catalog) Check(ctx context.Context, d wire.Digest) error {
	f, err := c.Image(d)
	if err != nil {
		return err
	}
	defer f.Close()
	got, _, err := digest(ctx, f)
	if err != nil {
		return fmt.Errorf("check image %s: %w", d, err)
	}
	if got != d {
		return fmt.Errorf("check image %s: %w: %s", d, ErrDamaged, got)
	}
	return nil
}

// digest reads r to its end.
func digest(ctx context.Context, r io.Reader) (wire.Digest, int64, error) {
	h := sha256.New()
	n, err := io.CopyBuffer(h, struct{ io.Reader }{withContext{ctx, r}}, make([]byte, 256<<10))
	return wire.DigestOf([32]byte(h.Sum(nil))), n, err
}

// Build makes an image of the given size: fill writes it, the rest is zeros. It becomes visible under its SHA-256, whole and durable,
// or not at all. ErrFull says that there was no room.
func (c *Catalog) Build(ctx context.Context, size int64, fill func(Image) error) (d wire.Digest, err error) {
	defer func() { err = full(err) }()
	f, err := c.create(c.dir)
	if err != nil {
		return "", fmt.Errorf("make image: %w", err)
	}
	defer func() {
		f.Close()
		if err != nil {
			os.Remove(f.Name())
		}
	}()
	if err := f.reserve(size); err != nil {
		return "", fmt.Errorf("make image: reserve %d bytes: %w", size, err)
	}
	if err := fill(f); err != nil {
		return "", err
	}
	if err := f.Sync(); err != nil {
		return "", fmt.Errorf("make image: sync: %w", err)
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return "", fmt.Errorf("make image: %w", err)
	}
	d, n, err := digest(ctx, f)
	if err != nil || n != size {
		return "", fmt.Errorf("make image: read back %d of %d bytes: %w", n, size, err)
	}
	c.mu.Lock()
	c.fresh[d] = time.Now()
	c.mu.Unlock()
	if err := os.Rename(f.Name(), c.path(d)); err != nil {
		return "", fmt.Errorf("make image: %w", err)
	}
	if err := keep.SyncDir(c.dir); err != nil {
		return "", err
	}
	return d, nil
}

type withContext struct {
	ctx context.Context
	r   io.Reader
}

func (w withContext) Read(b []byte) (int, error) {
	if err := w.ctx.Err(); err != nil {
		return 0, err
	}
	return w.r.Read(b)
}

func full(err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return fmt.Errorf("%w: %w", ErrFull, err)
	}
	return err
}

type diskFile struct{ *os.File }

func createTemp(dir string) (file, error) {
	f, err := os.CreateTemp(dir, tempStart+"*")
	if err != nil {
		return nil, err
	}
	return diskFile{f}, nil
}

// reserve takes the room before anything is written, where the filesystem can.
func (f diskFile) reserve(size int64) error {
	if err := f.Truncate(size); err != nil {
		return err
	}
	err := unix.Fallocate(int(f.Fd()), 0, 0, size)
	if errors.Is(err, unix.EOPNOTSUPP) {
		return nil
	}
	return err
}
