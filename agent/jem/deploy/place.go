package deploy

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"hardnode.dev/agent/jem/contract"
	"hardnode.dev/agent/jem/file"
	"hardnode.dev/agent/jem/users"
	"hardnode.dev/internal/wire/jem"
)

// Where things are, below the root: base/CONTEXT holds releases.json, which is root's alone, and a directory for each release, which is its
// owner's; web/CONTEXT is the link.
const (
	web  = "var/www"
	base = web + "/.jem"
)

// release is one that is kept.
type release struct {
	ID     string    `json:"id"`
	When   time.Time `json:"when"`
	Source string    `json:"source"`
	Commit string    `json:"commit,omitempty"`
}

// place is where a context is.
type place struct{ root, context string }

func placeOf(c *contract.Call, context string) (place, error) {
	if !contextForm.MatchString(context) {
		return place{}, contract.Invalid("context %q: want letters, digits, _ and -, at most 40", context)
	}
	return place{c.Root, context}, nil
}

func (p place) home() string         { return filepath.Join(p.root, base, p.context) }
func (p place) dir(id string) string { return filepath.Join(p.home(), id) }
func (p place) link() string         { return filepath.Join(p.root, web, p.context) }

// target is what the link to a release says: it holds whatever the root is called.
func (p place) target(id string) string { return filepath.Join(".jem", p.context, id) }

// shown is the release that is shown; "" is none. What is in the way is an error.
func (p place) shown() (string, error) {
	st, err := os.Lstat(p.link())
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	to, err := os.Readlink(p.link())
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
func (p place) show(id string) error {
	if id == "" {
		if err := os.Remove(p.link()); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	}
	next := p.link() + ".jem-next"
	if err := os.Remove(next); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.Symlink(p.target(id), next); err != nil {
		return err
	}
	if err := os.Rename(next, p.link()); err != nil {
		return err
	}
	d, err := os.Open(filepath.Dir(next))
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

const maxRecord = 256 << 10

// load reads the releases that are kept, oldest first.
func (p place) load() ([]release, error) {
	raw, err := file.Read(filepath.Join(p.home(), "releases.json"), maxRecord)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var list []release
	if err == nil {
		err = json.Unmarshal(raw, &list)
	}
	if err != nil {
		return nil, &jem.Error{Code: "conflict", Reason: fmt.Sprintf("the record of releases of %s can't be read: %v", p.context, err),
			Next: "jem deploy remove " + p.context}
	}
	return slices.DeleteFunc(list, func(r release) bool { return !idForm(r.ID) }), nil
}

func (p place) store(list []release) error {
	raw, err := json.MarshalIndent(list, "", "  ")
	if err != nil {
		return err
	}
	return file.Write(filepath.Join(p.home(), "releases.json"), raw, file.Owned{Mode: 0o644, Force: true})
}

const idTime = "20060102T150405"

// idForm tells whether a name is a release's: a time, and a number if there were two in a second.
func idForm(id string) bool {
	at, n, _ := strings.Cut(id, "-")
	_, err := time.Parse(idTime, at)
	return err == nil && len(n) < 3 && strings.Trim(n, "0123456789") == ""
}

// next is a name that no release has.
func (p place) next(now time.Time, kept []release) string {
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
func (p place) make(id string, owner users.User) (string, error) {
	if err := os.MkdirAll(p.home(), 0o755); err != nil {
		return "", err
	}
	dir := p.dir(id)
	if err := os.Mkdir(dir, 0o755); err != nil {
		return "", err
	}
	if os.Geteuid() == 0 {
		return dir, os.Lchown(dir, int(owner.UID), int(owner.GID))
	}
	return dir, nil
}

// sweep throws away what a deployment left that was cut off. What is shown stays, whatever the record says.
func (p place) sweep(kept []release, shown string) error {
	entries, err := os.ReadDir(p.home())
	if err != nil {
		return nil
	}
	for _, e := range entries {
		if e.Name() != "releases.json" && e.Name() != shown && !has(kept, e.Name()) {
			if err := os.RemoveAll(p.dir(e.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}

// drop throws away the oldest releases of more than keep; the one that is shown stays. left is how many are kept.
func (p place) drop(kept []release, shown string, keep int) (left int, err error) {
	var stay []release
	for i, r := range kept {
		if i >= len(kept)-keep || r.ID == shown {
			stay = append(stay, r)
			continue
		}
		err = errors.Join(err, os.RemoveAll(p.dir(r.ID)))
	}
	if len(stay) == len(kept) {
		return len(kept), nil
	}
	return len(stay), errors.Join(err, p.store(stay))
}
