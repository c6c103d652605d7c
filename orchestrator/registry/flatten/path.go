package flatten

import (
	"errors"
	"strings"

	"hardnode.dev/orchestrator/registry/erofs"
)

// clean makes an entry's name a path relative to the root without "." parts; the root itself is "".
func (t *Tree) clean(name string) (string, error) {
	if len(name) > maxPath || strings.ContainsRune(name, 0) {
		return "", bad("path has %d bytes or a NUL, at most %d are allowed", len(name), maxPath)
	}
	var parts []string
	for part := range strings.SplitSeq(name, "/") {
		switch {
		case part == "" || part == ".":
			continue
		case part == "..":
			return "", bad("path leads out of the image with %q", "..")
		case len(part) > erofs.MaxName:
			return "", bad("path component has %d bytes, at most %d are allowed", len(part), erofs.MaxName)
		}
		parts = append(parts, part)
	}
	if len(parts) > t.limits.Depth {
		return "", bad("path has %d components, at most %d are allowed", len(parts), t.limits.Depth)
	}
	return strings.Join(parts, "/"), nil
}

func (t *Tree) count() error {
	if t.entries++; t.entries > t.limits.Entries {
		return Over("has more than %d entries", t.limits.Entries)
	}
	return nil
}

// parent is the directory at dir, made where it is missing. Symbolic links on the way are followed inside the tree, as an unpacker
// whose root is the image would.
func (t *Tree) parent(dir string) (*erofs.Node, error) {
	links := 0
	return t.walk(dir, true, &links)
}

// Directory makes sure that there is a directory of that name, links on the way followed, the last one too: what is missing is made.
func (t *Tree) Directory(name string) error {
	dir, err := t.clean(name)
	if err == nil {
		_, err = t.parent(dir)
	}
	return err
}

// lookup is what lies at a clean path, links on the way followed, the last one not; nil if there is nothing.
func (t *Tree) lookup(name string) *erofs.Node {
	if name == "" {
		return t.root
	}
	dir, base := "", name
	if i := strings.LastIndexByte(name, '/'); i >= 0 {
		dir, base = name[:i], name[i+1:]
	}
	links := 0
	d, err := t.walk(dir, false, &links)
	if err != nil || d == nil {
		return nil
	}
	return d.Children[base]
}

// Find is what the path leads to, every link on the way followed inside the image, the last one too; nil if there is nothing. A relative
// path starts at the root.
func (t *Tree) Find(name string) *erofs.Node {
	for range maxLinks {
		dir, base := "", strings.TrimRight(name, "/")
		if i := strings.LastIndexByte(base, '/'); i >= 0 {
			dir, base = base[:i], base[i+1:]
		}
		links := 0
		d, err := t.walk(dir, false, &links)
		if err != nil || d == nil {
			return nil
		}
		if base == "" || base == "." || base == ".." {
			n, err := t.walk(dir+"/"+base, false, &links)
			if err != nil {
				return nil
			}
			return n
		}
		n := d.Children[base]
		if n == nil || n.Mode&erofs.ModeType != erofs.ModeSymlink {
			return n
		}
		if name = n.Target; !strings.HasPrefix(name, "/") {
			name = dir + "/" + name
		}
		if len(name) > 10*maxPath {
			return nil
		}
	}
	return nil
}

// linked is the inode a hard link names.
func (t *Tree) linked(target string) (*erofs.Node, error) {
	name, err := t.clean(target)
	if err != nil {
		return nil, err
	}
	n := t.lookup(name)
	if n == nil || n.IsDir() {
		return nil, bad("hard link to %.200q: no such file in the image", target)
	}
	return n, nil
}

// walk goes from the root to the directory dir. ".." in a link's target stops at the root. With make, what is missing is made; without,
// it is nil.
func (t *Tree) walk(dir string, make bool, links *int) (*erofs.Node, error) {
	stack := []*erofs.Node{t.root}
	todo := strings.Split(dir, "/")
	for len(todo) > 0 {
		part := todo[0]
		todo = todo[1:]
		at := stack[len(stack)-1]
		switch part {
		case "", ".":
			continue
		case "..":
			stack = stack[:max(len(stack)-1, 1)]
			continue
		}
		if len(part) > erofs.MaxName || len(stack) > t.limits.Depth {
			return nil, bad("path %.200q: is too long or too deep", dir)
		}
		n := at.Children[part]
		switch {
		case n == nil && !make:
			return nil, nil
		case n == nil:
			if err := errors.Join(t.count(), t.weigh(len(part))); err != nil {
				return nil, err
			}
			n = &erofs.Node{Mode: erofs.ModeDir | 0o755, Key: t.layer<<32 | implicit}
			set(at, strings.Clone(part), n)
		case n.Mode&erofs.ModeType == erofs.ModeSymlink:
			if *links++; *links > maxLinks {
				return nil, bad("path %.200q: more than %d symbolic links", dir, maxLinks)
			}
			if strings.HasPrefix(n.Target, "/") {
				stack = stack[:1]
			}
			todo = append(strings.Split(n.Target, "/"), todo...)
			continue
		case !n.IsDir() && !make:
			return nil, nil
		case !n.IsDir():
			return nil, bad("path %.200q: %q is no directory", dir, part)
		}
		stack = append(stack, n)
	}
	return stack[len(stack)-1], nil
}

func set(d *erofs.Node, name string, n *erofs.Node) {
	if d.Children == nil {
		d.Children = map[string]*erofs.Node{}
	}
	d.Children[name] = n
}
