package deploy

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"hardnode.dev/agent/jem/contract"
	"hardnode.dev/agent/jem/users"
	"hardnode.dev/internal/run"
	"hardnode.dev/internal/wire/jem"
)

// Where things are, below the root: web/.jem/CONTEXT holds releases.json and a directory for each release, which is its owner's;
// web/CONTEXT is the link. web may be anybody's; web/.jem and what is in it but for releases is JEM's alone.
const (
	web    = "var/www"
	own    = ".jem"
	record = "releases.json"
)

// release is one that is kept.
type release struct {
	ID     string    `json:"id"`
	When   time.Time `json:"when"`
	Source string    `json:"source"`
	Commit string    `json:"commit,omitempty"`
}

// place is where a context is. Between open and close all is done below directories that are held open, so that no link that somebody puts
// in the way leads elsewhere.
type place struct {
	root, context string
	web, own      *os.Root // web and web/.jem
	home          *os.Root // web/.jem/CONTEXT; nil: it is not there
}

func placeOf(c *contract.Call, context string) (*place, error) {
	if !contextForm.MatchString(context) {
		return nil, contract.Invalid("context %q: want letters, digits, _ and -, at most 40", context)
	}
	return &place{root: c.Root, context: context}, nil
}

// open holds the directories. make: those that are not there are made.
func (p *place) open(make bool) (err error) {
	at := filepath.Join(p.root, web)
	if make {
		if err := os.MkdirAll(at, 0o755); err != nil {
			return err
		}
	}
	if p.web, err = os.OpenRoot(at); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		p.own, err = hold(p.web, own, make)
	}
	if err == nil && p.own != nil {
		p.home, err = hold(p.own, p.context, make)
	}
	if err != nil {
		p.close()
	}
	return err
}

// hold opens a directory that must be JEM's own; nil if it is not there. A link in its place, or one put there meanwhile, is refused.
func hold(in *os.Root, name string, make bool) (*os.Root, error) {
	if make {
		if err := in.Mkdir(name, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
			return nil, err
		}
	}
	st, err := in.Lstat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	r, err := in.OpenRoot(name)
	if err == nil {
		var is fs.FileInfo
		is, err = r.Stat(".")
		if sys, ok := st.Sys().(*syscall.Stat_t); err == nil && (!st.IsDir() || !os.SameFile(st, is) || !ok ||
			int(sys.Uid) != os.Geteuid() || st.Mode()&0o022 != 0) {
			err = errors.New("it is no directory of JEM's alone")
		}
	}
	if err != nil {
		if r != nil {
			r.Close()
		}
		return nil, &jem.Error{Code: "denied", Reason: fmt.Sprintf("%s can't hold releases: %v", filepath.Join(in.Name(), name), err),
			Next: "move it away: deploy makes a new one"}
	}
	return r, nil
}

// close lets the directories go. It may be called again, and before open.
func (p *place) close() {
	for _, r := range []*os.Root{p.web, p.own, p.home} {
		if r != nil {
			r.Close()
		}
	}
	p.web, p.own, p.home = nil, nil, nil
}

// dir and link are paths for programs and hooks, which run as the owner of releases.
func (p *place) dir(id string) string { return filepath.Join(p.root, web, p.target(id)) }
func (p *place) link() string         { return filepath.Join(p.root, web, p.context) }

// target is what the link to a release says: it holds whatever the root is called.
func (p *place) target(id string) string { return path.Join(own, p.context, id) }

// shown is the release that is shown; "" is none. What is in the way is an error.
func (p *place) shown() (string, error) {
	if p.web == nil {
		return "", nil
	}
	st, err := p.web.Lstat(p.context)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	to, err := p.web.Readlink(p.context)
	if id, ours := strings.CutPrefix(to, p.target("")+"/"); err == nil && ours && !strings.Contains(id, "/") {
		return id, nil
	}
	what := "a link of somebody else"
	if st.IsDir() {
		what = "a directory"
	}
	return "", &jem.Error{Code: "conflict", Reason: fmt.Sprintf("/%s/%s is %s, where the link to the release should be", web, p.context,
		what),
		Next: "move it away, or use another context"}
}

// show has the link name a release, in one step; "" takes it away.
func (p *place) show(id string) error {
	if p.web == nil {
		return nil
	}
	if id == "" {
		if err := p.web.Remove(p.context); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	}
	next := p.context + ".jem-next"
	if err := p.web.Remove(next); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := p.web.Symlink(p.target(id), next); err != nil {
		return err
	}
	if err := p.web.Rename(next, p.context); err != nil {
		return err
	}
	return synced(p.web)
}

// synced has the disk know a directory's names.
func synced(r *os.Root) error {
	d, err := r.Open(".")
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

const maxRecord = 256 << 10

// load reads the releases that are kept, oldest first.
func (p *place) load() (list []release, err error) {
	if p.home == nil {
		return nil, nil
	}
	f, err := p.home.OpenFile(record, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var raw []byte
	if err == nil {
		raw, err = io.ReadAll(io.LimitReader(f, maxRecord))
		f.Close()
	}
	if err == nil {
		err = json.Unmarshal(raw, &list)
	}
	if err != nil {
		return nil, &jem.Error{Code: "conflict", Reason: fmt.Sprintf("the record of releases of %s can't be read: %v", p.context, err),
			Next: "jem deploy remove " + p.context}
	}
	return slices.DeleteFunc(list, func(r release) bool { return !idForm(r.ID) }), nil
}

// store writes them, whole.
func (p *place) store(list []release) error {
	raw, err := json.MarshalIndent(list, "", "  ")
	if err != nil {
		return err
	}
	const next = record + ".next"
	if err := p.home.Remove(next); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := p.home.OpenFile(next, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	_, err = f.Write(raw)
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = p.home.Rename(next, record)
	}
	if err != nil {
		return fmt.Errorf("write the record of releases of %s: %w", p.context, err)
	}
	return synced(p.home)
}

const idTime = "20060102T150405"

// idForm tells whether a name is a release's: a time, and a number if there were two in a second.
func idForm(id string) bool {
	at, n, _ := strings.Cut(id, "-")
	_, err := time.Parse(idTime, at)
	return err == nil && len(n) < 3 && strings.Trim(n, "0123456789") == ""
}

// next is a name that no release has.
func (p *place) next(now time.Time, kept []release) string {
	id := now.UTC().Format(idTime)
	for n := 2; has(kept, id); n++ {
		id = fmt.Sprintf("%s-%d", now.UTC().Format(idTime), n)
	}
	return id
}

func has(list []release, id string) bool {
	return slices.ContainsFunc(list, func(r release) bool { return r.ID == id })
}

// make makes a release's directory.
func (p *place) make(id string, owner users.User) error {
	if err := p.home.Mkdir(id, 0o755); err != nil {
		return err
	}
	if os.Geteuid() == 0 {
		return p.home.Lchown(id, int(owner.UID), int(owner.GID))
	}
	return nil
}

// reading is how long who has followed the link may take to open what is behind it.
const reading = time.Second / 2

// settle waits until nobody is on the way any more to what the link named before: a release that was just replaced is not thrown away below
// a server that is about to open a file of it.
func (p *place) settle(ctx context.Context) {
	if p.web == nil {
		return
	}
	if st, err := p.web.Lstat(p.context); err == nil {
		run.Wait(ctx, min(time.Until(st.ModTime().Add(reading)), reading)) // a clock that was set back makes it no longer
	}
}

// sweep throws away what a deployment left that was cut off. What is shown stays, whatever the record says.
func (p *place) sweep(kept []release, shown string) error {
	if p.home == nil {
		return nil
	}
	entries, err := fs.ReadDir(p.home.FS(), ".")
	for _, e := range entries {
		if e.Name() != record && e.Name() != shown && !has(kept, e.Name()) {
			err = errors.Join(err, p.home.RemoveAll(e.Name()))
		}
	}
	return err
}

// drop throws away the oldest releases of more than keep; the one that is shown stays. left is how many are kept.
func (p *place) drop(kept []release, shown string, keep int) (left int, err error) {
	var stay []release
	for i, r := range kept {
		if i >= len(kept)-keep || r.ID == shown {
			stay = append(stay, r)
			continue
		}
		err = errors.Join(err, p.home.RemoveAll(r.ID))
	}
	if len(stay) == len(kept) {
		return len(kept), nil
	}
	return len(stay), errors.Join(err, p.store(stay))
}
