// Package flatten turns the layers of an OCI image into one file tree, in memory (OCI image-spec, "Image Layer Filesystem Changeset").
//
// Owns: how layers are laid over each other: whiteouts, opaque directories, hard links, replaced files; and the limits that hold an
// image which was made to do harm.
// In: tar streams, lowest layer first, twice: once for the names, once for the contents.
// Out: a tree for package erofs; the contents in the order they come; notes on what was left out.
// Never: touches a file system: a path in an archive is only ever looked up in the tree, so there is nothing to escape from.
package flatten

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"path"
	"slices"
	"sort"
	"strings"

	"hardnode.dev/internal/wire/host"
	"hardnode.dev/orchestrator/registry/erofs"
)

// Limits hold what one image may ask for.
type Limits struct {
	Entries int   // archive entries and directories made for them, over all layers
	Depth   int   // components of one path
	Bytes   int64 // the flattened tree as it is stored: holes take no room
	Meta    int64 // bytes of all names, links' targets, extended attributes and maps of holes: they are kept in memory
	Archive int64 // bytes of all layers, unpacked: what an import may take in time
}

// DefaultLimits fit large real images: a full Debian desktop has 200,000 files, whose names and links are 8 MiB.
var DefaultLimits = Limits{Entries: 400_000, Depth: 64, Bytes: 8 << 30, Meta: 64 << 20, Archive: 32 << 30}

// ErrImage is wrapped by every error that the image's content caused, as opposed to the machine.
var ErrImage = errors.New("image can't be imported")

// ErrLimit is an ErrImage that larger Limits might have let through.
var ErrLimit = errors.New("more than the limits allow")

// Over is an error that is ErrImage and ErrLimit.
func Over(format string, args ...any) error { return &over{fmt.Sprintf(format, args...)} }

type over struct{ what string }

func (o *over) Error() string        { return ErrImage.Error() + ": " + o.what }
func (o *over) Is(target error) bool { return target == ErrImage || target == ErrLimit }

const (
	whiteout   = ".wh."
	opaque     = ".wh..wh..opq"
	aufsPrefix = ".wh..wh."
	maxPath    = 4096
	maxLinks   = 40 // symbolic links followed for one path, as in the kernel
	implicit   = 1<<32 - 1
	maxSaid    = 200      // bytes of a name in a note
	minHole    = 64 << 10 // zeros of a plain file that become a hole: fewer save nothing
)

// Tree is an image as its layers leave it. Its zero value is not usable: use New.
type Tree struct {
	limits  Limits
	root    *erofs.Node
	layer   uint64
	entries int
	meta    int64
	blocks  []uint16
	notes   map[string]*note
	buf     []byte
}

type note struct {
	count int
	first string
}

// New is an empty tree.
func New(l Limits) *Tree {
	return &Tree{limits: l, root: &erofs.Node{Mode: erofs.ModeDir | 0o755, Key: implicit}, notes: map[string]*note{},
		buf: make([]byte, 64<<10)}
}

// Root is the tree's root directory.
func (t *Tree) Root() *erofs.Node { return t.root }

// Notes say what was left out, sorted.
func (t *Tree) Notes() []string {
	var out []string
	for what, n := range t.notes {
		out = append(out, fmt.Sprintf("%d %s left out, the first is %q", n.count, what, n.first))
	}
	sort.Strings(out)
	return out
}

func (t *Tree) leaveOut(what, name string) {
	n := t.notes[what]
	if n == nil {
		n = &note{first: strings.Clone(name[:min(len(name), maxSaid)])}
		t.notes[what] = n
	}
	n.count++
}

// AddLayer lays the archive over what is there. Of contents it only looks for zeros that can be holes.
func (t *Tree) AddLayer(ctx context.Context, r io.Reader) error {
	a := &archive{r: r}
	for entry := uint64(0); ; entry++ {
		h, err := a.next()
		if err == io.EOF {
			t.layer++
			return nil
		}
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return fmt.Errorf("read layer %d: %w", t.layer, err)
		}
		if err := t.add(h, a, t.layer<<32|entry); err != nil {
			return fmt.Errorf("layer %d, entry %.200q: %w", t.layer, h.Name, err)
		}
	}
}

// asImage marks an archive's own faults; those of the reader below keep their own kind.
func asImage(err error) error {
	if errors.Is(err, ErrImage) {
		return err
	}
	if errors.Is(err, tar.ErrHeader) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, tar.ErrFieldTooLong) ||
		strings.HasPrefix(err.Error(), "archive/tar: ") {
		return bad("archive: %v", err)
	}
	return err
}

func bad(format string, args ...any) error {
	return fmt.Errorf("%w: %v", ErrImage, fmt.Sprintf(format, args...))
}

// add applies one entry.
func (t *Tree) add(h *tar.Header, content *archive, key uint64) error {
	if h.Typeflag == tar.TypeXGlobalHeader {
		return nil
	}
	name, err := t.clean(h.Name)
	if err != nil {
		return err
	}
	dir, base := path.Split(name)
	dir = strings.TrimSuffix(dir, "/")
	if strings.HasPrefix(base, whiteout) {
		return t.white(dir, base, h.Name)
	}
	n, err := t.node(h, key)
	if n == nil || err != nil {
		return err
	}
	if name == "" {
		if !n.IsDir() {
			return bad("the root is no directory")
		}
		n.Children = t.root.Children
		*t.root = *n
		return nil
	}
	parent, err := t.parent(dir)
	if err != nil {
		return err
	}
	if h.Typeflag == tar.TypeLink {
		if n, err = t.linked(h.Linkname); err != nil {
			return err
		}
	}
	if err := errors.Join(t.count(), t.weigh(len(base))); err != nil {
		return err
	}
	if old := parent.Children[base]; old != nil && old.IsDir() && n.IsDir() {
		n.Children = old.Children
		*old = *n // names that point at the directory go on pointing at it
		return nil
	}
	set(parent, strings.Clone(base), n)
	if n.IsRegular() && h.Typeflag != tar.TypeLink {
		return t.holes(n, content)
	}
	return nil
}

// owner notes which blocks of ids an entry needs.
func (t *Tree) owner(h *tar.Header) error {
	for _, id := range []int{h.Uid, h.Gid} {
		if id < 0 || id >= 1<<32-1 {
			return bad("owner %d:%d: a user or group number goes from 0 to %d", h.Uid, h.Gid, int64(1<<32-2))
		}
		if b := uint16(id >> 16); b > 0 && !slices.Contains(t.blocks, b) {
			if len(t.blocks) == host.MaxIDBlocks {
				return bad("owner %d:%d: the image's owners are in more than %d blocks of 65,536 numbers: give its files owners that lie "+
					"closer (chown in its build)",
					h.Uid, h.Gid, host.MaxIDBlocks+1)
			}
			t.blocks = append(t.blocks, b)
		}
	}
	return nil
}

// IDBlocks are the blocks of ids beside the first that entries named (host.Image).
func (t *Tree) IDBlocks() []uint16 { return slices.Sorted(slices.Values(t.blocks)) }

// weigh counts what is kept in memory.
func (t *Tree) weigh(n int) error {
	if t.meta += int64(n); t.meta > t.limits.Meta {
		return Over("the names, links and attributes of its files have more than %d bytes in all", t.limits.Meta)
	}
	return nil
}

// holes finds out which parts of a file are stored: what a sparse entry says, or all of a plain file but its long runs of zeros.
func (t *Tree) holes(n *erofs.Node, content *archive) error {
	if k := len(content.extents); k != 1 || content.extents[0].Length != n.Size {
		n.Sparse, n.Data = n.Size > 0, content.extents
		return t.weigh(16 * k)
	}
	if n.Size < 2*minHole {
		return nil
	}
	var data []erofs.Extent
	stored := int64(0)
	for at := int64(0); at < n.Size; {
		k, err := io.ReadFull(content, t.buf[:min(int64(len(t.buf)), n.Size-at)]) // parts as large as the smallest hole
		if err != nil {
			return asImage(cutOff(err))
		}
		switch last := len(data) - 1; {
		case zero(t.buf[:k]):
		case last >= 0 && data[last].Offset+data[last].Length == at:
			data[last].Length += int64(k)
			stored += int64(k)
		default:
			if err := t.weigh(16); err != nil {
				return err
			}
			data = append(data, erofs.Extent{Offset: at, Length: int64(k)})
			stored += int64(k)
		}
		if at += int64(k); stored > t.limits.Bytes {
			return Over("has more than %d bytes, an image may have %d", stored, t.limits.Bytes)
		}
	}
	if stored < n.Size {
		n.Sparse, n.Data = true, data
	}
	return nil
}

func zero(b []byte) bool {
	return b[0] == 0 && bytes.Equal(b[:len(b)-1], b[1:])
}

// node makes the inode an entry describes; nil for entries that are left out. A hard link gets an empty one, to be replaced.
func (t *Tree) node(h *tar.Header, key uint64) (*erofs.Node, error) {
	n := &erofs.Node{Mode: uint32(h.Mode) & 0o7777, UID: uint32(h.Uid), GID: uint32(h.Gid), MTime: max(h.ModTime.Unix(), 0), Key: key}
	if err := t.owner(h); err != nil {
		return nil, err
	}
	switch h.Typeflag {
	case tar.TypeReg, tar.TypeCont, tar.TypeGNUSparse:
		if h.Size < 0 || h.Size > erofs.MaxFile {
			return nil, bad("has %d bytes, a file may have %d", h.Size, int64(erofs.MaxFile))
		}
		n.Mode |= erofs.ModeRegular
		n.Size = h.Size
	case tar.TypeDir:
		n.Mode |= erofs.ModeDir
	case tar.TypeSymlink:
		if h.Linkname == "" || len(h.Linkname) > erofs.MaxTarget || strings.ContainsRune(h.Linkname, 0) {
			return nil, bad("symbolic link with a target of %d bytes", len(h.Linkname))
		}
		n.Mode = erofs.ModeSymlink | 0o777
		n.Target = strings.Clone(h.Linkname)
		if err := t.weigh(len(n.Target)); err != nil {
			return nil, err
		}
	case tar.TypeLink:
	case tar.TypeFifo:
		n.Mode |= erofs.ModeFIFO
	case tar.TypeChar, tar.TypeBlock:
		t.leaveOut("device nodes", h.Name)
		return nil, nil
	default:
		return nil, bad("entry type %q is not known", h.Typeflag)
	}
	if n.IsRegular() || n.IsDir() {
		n.Xattrs = t.xattrs(h)
		for _, x := range n.Xattrs {
			if err := t.weigh(len(x.Name) + len(x.Value) + 40); err != nil {
				return nil, err
			}
		}
	}
	return n, nil
}

// xattrs are the attributes that are kept: file capabilities and the user's own. Those that overlayfs reads could redirect one file to
// another, labels and ACLs mean nothing here.
func (t *Tree) xattrs(h *tar.Header) []erofs.Xattr {
	var out []erofs.Xattr
	size := 0
	for _, k := range slices.Sorted(maps.Keys(h.PAXRecords)) { // in order: which do not fit must not depend on chance
		name, ok := strings.CutPrefix(k, "SCHILY.xattr.")
		if !ok {
			continue
		}
		v := h.PAXRecords[k]
		user := strings.HasPrefix(name, "user.") && !strings.HasPrefix(name, "user.overlay.") && len(name) > len("user.") &&
			len(name) <= 255
		weight := len(name) + len(v) + 8
		if !user && name != "security.capability" || size+weight > erofs.MaxXattrs-64 {
			t.leaveOut("extended attributes", h.Name+" "+name)
			continue
		}
		size += weight
		out = append(out, erofs.Xattr{Name: strings.Clone(name), Value: []byte(v)})
	}
	return out
}

// white carries out a whiteout: it hides what lower layers have, never what this layer brings.
func (t *Tree) white(dir, base, name string) error {
	d := t.lookup(dir)
	if d != nil && !d.IsDir() {
		d = nil
	}
	victim := strings.TrimPrefix(base, whiteout)
	switch {
	case base == opaque:
		if d != nil {
			for child, n := range d.Children {
				if !t.prune(n) {
					delete(d.Children, child)
				}
			}
		}
	case strings.HasPrefix(base, aufsPrefix):
		t.leaveOut("AUFS marks", name)
	case victim == "" || victim == "." || victim == "..":
		return bad("whiteout of %q", victim)
	case d != nil && d.Children[victim] != nil && !t.prune(d.Children[victim]):
		delete(d.Children, victim)
	}
	return nil
}

// prune removes what lower layers left at n and below; it tells whether n stays.
func (t *Tree) prune(n *erofs.Node) bool {
	stays := n.Key>>32 == t.layer
	for name, c := range n.Children {
		if t.prune(c) {
			stays = true
		} else {
			delete(n.Children, name)
		}
	}
	return stays
}
