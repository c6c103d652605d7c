package contract

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"hardnode.dev/agent/jem/file"
	"hardnode.dev/internal/wire/jem"
)

// was is how a place was before a call changed it.
type was struct {
	Call  string      `json:"call"` // for people
	Path  string      `json:"path"` // below the root
	There bool        `json:"there"`
	Link  string      `json:"link,omitempty"` // where it led, if it was a link
	Text  []byte      `json:"text,omitempty"` // its content, if it was a file
	Mode  fs.FileMode `json:"mode,omitempty"`
	UID   int         `json:"uid,omitempty"`
	GID   int         `json:"gid,omitempty"`
}

// maxWas is how large a file may be whose content is kept.
const maxWas = 16 << 20

func (c *Call) cutDir() string { return filepath.Join(c.Root, StateDir, "cut") }

// Was keeps how a file or a link is, or that there is none, before it is changed: if this call is cut off (killed, its container stopped),
// the next one puts it back. at is a path on this machine, below the root.
func (c *Call) Was(at string) error {
	rel, err := filepath.Rel(c.Root, at)
	if err != nil {
		return err
	}
	w := was{Call: c.module.Name + " " + strings.Join(append([]string{c.action.Name}, c.Args...), " "), Path: rel}
	st, err := os.Lstat(at)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		err = nil
	case err != nil:
	case st.Mode()&fs.ModeSymlink != 0:
		w.There = true
		w.Link, err = os.Readlink(at)
	default:
		w.There, w.Mode = true, st.Mode().Perm()
		if sys, ok := st.Sys().(*syscall.Stat_t); ok {
			w.UID, w.GID = int(sys.Uid), int(sys.Gid)
		}
		w.Text, err = file.Read(at, maxWas)
	}
	if err != nil {
		return err
	}
	raw, err := json.Marshal(w)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(c.cutDir(), 0o700); err != nil {
		return noState(err)
	}
	c.kept++
	return file.Write(filepath.Join(c.cutDir(), fmt.Sprintf("%04d.json", c.kept)), raw, file.Owned{Mode: 0o600})
}

// whole says that nothing is to be put back any more: the call is done, or has taken back what it did.
func (c *Call) whole() error {
	if c.kept == 0 {
		return nil
	}
	c.kept = 0
	return os.RemoveAll(c.cutDir())
}

// mend puts back what a call that was cut off has changed, the last change first.
func (c *Call) mend() error {
	entries, err := os.ReadDir(c.cutDir())
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return noState(err)
	}
	for _, e := range slices.Backward(entries) {
		raw, err := file.Read(filepath.Join(c.cutDir(), e.Name()), 2*maxWas)
		var w was
		if err != nil || strings.HasPrefix(e.Name(), ".") || json.Unmarshal(raw, &w) != nil || !filepath.IsLocal(w.Path) {
			continue // not whole: what it was to tell of was not changed yet
		}
		if err := w.back(filepath.Join(c.Root, w.Path)); err != nil {
			return &jem.Error{Code: "unavailable",
				Reason: fmt.Sprintf("the call before, %.200s, was cut off, and /%s can't be put back: %v", w.Call, w.Path, err),
				Next:   "make room (jem logs empty), or put it right by hand and remove /" + StateDir + "/cut"}
		}
		c.Said(fmt.Sprintf("the call before, %.200s, was cut off: /%s is as it was\n", w.Call, w.Path))
	}
	return os.RemoveAll(c.cutDir())
}

func (w was) back(at string) error {
	switch {
	case !w.There:
		if err := os.Remove(at); !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	case w.Link != "":
		next := at + ".jem-back"
		os.Remove(next)
		if err := os.Symlink(w.Link, next); err != nil {
			return err
		}
		return os.Rename(next, at)
	}
	return file.Write(at, w.Text, file.Owned{UID: w.UID, GID: w.GID, Mode: w.Mode, Force: true})
}
