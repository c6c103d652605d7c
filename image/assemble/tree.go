package assemble

import (
	"context"
	"encoding/hex"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// entry is one file, directory or link of a tree that becomes a filesystem image or a cpio.
type entry struct {
	Path   string // without a leading slash
	Mode   fs.FileMode
	Source string // regular file: copied from here; "" takes Data
	Data   []byte
	Link   string // symbolic link's target
}

// tree is a root to be: later entries of the same path replace earlier ones, parents are made as needed with mode 0755.
type tree struct{ byPath map[string]entry }

func (t *tree) add(e entry) {
	if t.byPath == nil {
		t.byPath = map[string]entry{}
	}
	e.Path = strings.Trim(e.Path, "/")
	for dir := filepath.Dir(e.Path); dir != "."; dir = filepath.Dir(dir) {
		if _, ok := t.byPath[dir]; !ok {
			t.byPath[dir] = entry{Path: dir, Mode: fs.ModeDir | 0o755}
		}
	}
	t.byPath[e.Path] = e
}

func (t *tree) dir(mode fs.FileMode, paths ...string) {
	for _, p := range paths {
		t.add(entry{Path: p, Mode: fs.ModeDir | mode})
	}
}

func (t *tree) file(path, source string, mode fs.FileMode) {
	t.add(entry{Path: path, Mode: mode, Source: source})
}
func (t *tree) text(path, data string) { t.add(entry{Path: path, Mode: 0o644, Data: []byte(data)}) }
func (t *tree) link(path, target string) {
	t.add(entry{Path: path, Mode: fs.ModeSymlink | 0o777, Link: target})
}

// sorted is every entry, parents before children.
func (t *tree) sorted() []entry {
	all := make([]entry, 0, len(t.byPath))
	for _, e := range t.byPath {
		all = append(all, e)
	}
	slices.SortFunc(all, func(a, b entry) int { return strings.Compare(a.Path, b.Path) })
	return all
}

// digest is over all that the image made from the tree depends on.
func (t *tree) digest() (string, error) {
	var parts []string
	for _, e := range t.sorted() {
		sum := ""
		if e.Source != "" {
			var err error
			if sum, err = fileDigest(e.Source); err != nil {
				return "", err
			}
		} else if e.Data != nil {
			sum = digest(string(e.Data))
		}
		parts = append(parts, e.Path, strconv.FormatUint(uint64(e.Mode), 8), e.Link, sum)
	}
	return digest(parts...), nil
}

// stage writes the tree below dir, which it replaces.
func (t *tree) stage(dir string) error {
	if err := os.RemoveAll(dir); err != nil {
		return fmt.Errorf("clear %q: %v", dir, err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("make %q: %v", dir, err)
	}
	for _, e := range t.sorted() {
		path := filepath.Join(dir, e.Path)
		if err := stageEntry(path, e); err != nil {
			return fmt.Errorf("stage %q: %v", e.Path, err)
		}
	}
	return nil
}

func stageEntry(path string, e entry) error {
	switch {
	case e.Mode.IsDir():
		if err := os.Mkdir(path, 0o755); err != nil {
			return err
		}
	case e.Mode&fs.ModeSymlink != 0:
		return os.Symlink(e.Link, path)
	default:
		data := e.Data
		if e.Source != "" {
			var err error
			if data, err = os.ReadFile(e.Source); err != nil {
				return err
			}
		}
		if err := os.WriteFile(path, data, 0o644); err != nil {
			return err
		}
	}
	return os.Chmod(path, e.Mode&(fs.ModePerm|fs.ModeSticky))
}

// erofsTime is the one time all files of our filesystem images have: a build's time is no input of theirs.
const erofsTime = 1

// erofs makes one compressed filesystem image of the tree, without root, the same bytes for the same tree.
func (t *tree) erofs(ctx context.Context, work, image string) error {
	if err := t.stage(work); err != nil {
		return err
	}
	defer os.RemoveAll(work)
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	sum, err := t.digest()
	if err != nil {
		return err
	}
	os.Remove(image + ".new")
	cmd := exec.CommandContext(ctx, "mkfs.erofs", "-zlz4hc,12", "-C65536", "-x-1", "-T"+strconv.Itoa(erofsTime), "-U"+uuid(sum),
		"--all-root", "--quiet", image+".new", work)
	if out, err := cmd.CombinedOutput(); err != nil {
		os.Remove(image + ".new")
		return fmt.Errorf("make filesystem %q: mkfs.erofs: %v: %s (Debian package erofs-utils)", filepath.Base(image), err,
			strings.TrimSpace(string(out)))
	}
	if err := os.Rename(image+".new", image); err != nil {
		return fmt.Errorf("make filesystem: %v", err)
	}
	return nil
}

// uuid makes a filesystem's UUID out of its content's digest (RFC 9562, version 8).
func uuid(sum string) string {
	raw, err := hex.DecodeString(sum[:32])
	if err != nil {
		panic("BUG: a digest is hex")
	}
	raw[6] = raw[6]&0x0f | 0x80
	raw[8] = raw[8]&0x3f | 0x80
	s := hex.EncodeToString(raw)
	return s[:8] + "-" + s[8:12] + "-" + s[12:16] + "-" + s[16:20] + "-" + s[20:]
}
