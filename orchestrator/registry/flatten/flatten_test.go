package flatten

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sort"
	"strings"
	"testing"
	"time"

	"hardnode.dev/orchestrator/registry/erofs"
)

// entry is one line of a test layer.
type entry struct {
	name string
	kind byte // 0 is a regular file
	text string
	more func(*tar.Header)
}

func dir(name string) entry          { return entry{name: name, kind: tar.TypeDir} }
func file(name, text string) entry   { return entry{name: name, text: text} }
func symlink(name, to string) entry  { return entry{name: name, kind: tar.TypeSymlink, text: to} }
func hardlink(name, to string) entry { return entry{name: name, kind: tar.TypeLink, text: to} }

func owners(n int) (out []entry) {
	for i := range n {
		out = append(out, entry{name: fmt.Sprint(i), more: func(h *tar.Header) { h.Uid = i << 16 }})
	}
	return out
}

func xattred(name string, size int) entry {
	return entry{name: name, more: func(h *tar.Header) {
		h.Format, h.PAXRecords = tar.FormatPAX, map[string]string{"SCHILY.xattr.user.x": strings.Repeat("v", size)}
	}}
}

func tarball(t testing.TB, entries ...entry) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, e := range entries {
		h := &tar.Header{Name: e.name, Typeflag: e.kind, Mode: 0o644, ModTime: time.Unix(1_700_000_000, 0)}
		switch e.kind {
		case 0:
			h.Typeflag, h.Size = tar.TypeReg, int64(len(e.text))
		case tar.TypeDir:
			h.Mode = 0o755
		default:
			h.Linkname = e.text
		}
		if e.more != nil {
			e.more(h)
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if h.Typeflag == tar.TypeReg {
			io.WriteString(w, e.text)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// flat lays layers over each other and renders the result, one line a path, contents included.
func flat(t testing.TB, limits Limits, layers ...[]byte) (string, *Tree, error) {
	t.Helper()
	tree := New(limits)
	for _, l := range layers {
		if err := tree.AddLayer(context.Background(), bytes.NewReader(l)); err != nil {
			return "", tree, err
		}
	}
	plan, err := erofs.Lay(tree.Root())
	if err != nil {
		return "", tree, err
	}
	fill, got := NewFill(plan), map[*erofs.Node]string{}
	for _, l := range layers {
		err := fill.Layer(context.Background(), bytes.NewReader(l), func(n *erofs.Node, e erofs.Extent, r io.Reader) error {
			raw, err := io.ReadAll(io.LimitReader(r, e.Length))
			if got[n] += string(raw); err == nil && int64(len(raw)) < e.Length {
				err = bad("ends early")
			}
			return err
		})
		if err != nil {
			return "", tree, err
		}
	}
	if err := fill.Done(); err != nil {
		return "", tree, err
	}
	var lines []string
	var walk func(string, *erofs.Node)
	walk = func(path string, n *erofs.Node) {
		switch {
		case n.IsDir():
			lines = append(lines, path+"/")
		case n.IsRegular():
			lines = append(lines, path+"="+got[n])
		default:
			lines = append(lines, path+"->"+n.Target)
		}
		for name, c := range n.Children {
			walk(path+"/"+name, c)
		}
	}
	for name, c := range tree.Root().Children {
		walk(name, c)
	}
	sort.Strings(lines)
	return strings.Join(lines, " "), tree, nil
}

func TestLayers(t *testing.T) {
	a := func(e ...entry) []byte { return tarball(t, e...) }
	for _, c := range []struct {
		name   string
		layers [][]byte
		want   string
	}{
		{"one file, its directories made", [][]byte{a(file("./a/b/c", "1"))}, "a/ a/b/ a/b/c=1"},
		{"upper replaces", [][]byte{a(file("a", "1")), a(file("a", "2"))}, "a=2"},
		{"twice in one layer", [][]byte{a(file("a", "1"), file("a", "22"))}, "a=22"},
		{"directory keeps its children", [][]byte{a(dir("d"), file("d/a", "1")), a(dir("d"), file("d/b", "2"))}, "d/ d/a=1 d/b=2"},
		{"file replaces directory", [][]byte{a(file("d/a", "1")), a(file("d", "x"))}, "d=x"},
		{"directory replaces file", [][]byte{a(file("d", "x")), a(dir("d"), file("d/a", "1"))}, "d/ d/a=1"},
		{"whiteout", [][]byte{a(file("d/a", "1"), file("d/b", "2")), a(file("d/.wh.a", ""))}, "d/ d/b=2"},
		{"whiteout of a directory", [][]byte{a(file("d/a", "1"), file("b", "2")), a(file(".wh.d", ""))}, "b=2"},
		{"whiteout of nothing", [][]byte{a(file("b", "2")), a(file("x/.wh.d", ""))}, "b=2"},
		{"whiteout spares its own layer", [][]byte{a(file("a", "1")), a(file("a", "2"), file(".wh.a", ""))}, "a=2"},
		{"whiteout of a directory spares its own layer's files", [][]byte{a(file("d/a", "1")), a(file("d/b", "2"), file(".wh.d", ""))},
			"d/ d/b=2"},
		{"opaque", [][]byte{a(file("d/a", "1"), file("d/s/b", "2"), file("e", "3")),
			a(dir("d"), file("d/.wh..wh..opq", ""), file("d/n", "4"))}, "d/ d/n=4 e=3"},
		{"opaque after its own files", [][]byte{a(file("d/a", "1")), a(file("d/n", "4"), file("d/.wh..wh..opq", ""))}, "d/ d/n=4"},
		{"hard link", [][]byte{a(file("a", "1"), hardlink("b", "a"))}, "a=1 b=1"},
		{"hard link to a lower layer, then the name replaced", [][]byte{a(file("a", "1")), a(hardlink("b", "a")), a(file("a", "2"))},
			"a=2 b=1"},
		{"hard link outlives its target", [][]byte{a(file("a", "1"), hardlink("b", "/a")), a(file(".wh.a", ""))}, "b=1"},
		{"through a symbolic link", [][]byte{a(dir("usr/lib"), symlink("lib", "usr/lib")), a(file("lib/x", "1"))},
			"lib->usr/lib usr/ usr/lib/ usr/lib/x=1"},
		{"absolute link stays inside", [][]byte{a(symlink("l", "/etc"), file("l/x", "1"))}, "etc/ etc/x=1 l->/etc"},
		{"link with .. stays inside", [][]byte{a(symlink("l", "../../../etc"), file("l/x", "1"))}, "etc/ etc/x=1 l->../../../etc"},
		{"absolute name", [][]byte{a(file("/etc/x", "1"))}, "etc/ etc/x=1"},
		{"device left out", [][]byte{a(entry{name: "dev/sda", kind: tar.TypeBlock}, file("a", "1"))}, "a=1"},
		{"dangling target kept", [][]byte{a(symlink("l", "../../nowhere"))}, "l->../../nowhere"},
		{"empty file", [][]byte{a(file("a", ""))}, "a="},
	} {
		got, _, err := flat(t, DefaultLimits, c.layers...)
		if err != nil || got != c.want {
			t.Errorf("%s: got %q, %v; want %q", c.name, got, err, c.want)
		}
	}
}

// names are the paths of a tree, in order.
func names(at string, n *erofs.Node) string {
	var list []string
	for name, c := range n.Children {
		path := at + name
		switch {
		case c.IsDir():
			list = append(list, path+"/")
			if below := names(path+"/", c); below != "" {
				list = append(list, below)
			}
		case c.IsRegular():
			list = append(list, path)
		default:
			list = append(list, path+"->"+c.Target)
		}
	}
	sort.Strings(list)
	return strings.Join(list, " ")
}

// A directory that is asked for is there, and nothing else is changed; a file is never replaced.
func TestDirectory(t *testing.T) {
	layer := tarball(t, dir("etc"), file("etc/x", "1"), symlink("var", "srv/real"), symlink("loop", "loop"))
	for _, c := range []struct{ name, want, err string }{
		{"/data", "data/ etc/ etc/x loop->loop var->srv/real", ""},
		{"var/lib/db/", "etc/ etc/x loop->loop srv/ srv/real/ srv/real/lib/ srv/real/lib/db/ var->srv/real", ""},
		{"/etc", "etc/ etc/x loop->loop var->srv/real", ""},
		{"/", "etc/ etc/x loop->loop var->srv/real", ""},
		{"/etc/x", "", "no directory"},
		{"/etc/x/y", "", "no directory"},
		{"/loop/a", "", "symbolic links"},
		{"/../a", "", "leads out"},
		{"/a\x00b", "", "NUL"},
		{strings.Repeat("a/", 3000), "", "bytes"},
	} {
		_, tree, err := flat(t, DefaultLimits, layer)
		if err != nil {
			t.Fatal(err)
		}
		if err := tree.Directory(c.name); (err == nil) != (c.err == "") || err != nil && (!strings.Contains(err.Error(), c.err) ||
			!errors.Is(err, ErrImage)) {
			t.Errorf("%.40q: got %v, want %q", c.name, err, c.err)
		} else if got := names("", tree.Root()); err == nil && got != c.want {
			t.Errorf("%.40q: got %q, want %q", c.name, got, c.want)
		}
	}
}

func TestHostileLayers(t *testing.T) {
	small := Limits{Entries: 100, Depth: 8, Bytes: 1 << 20, Meta: 4000}
	many := make([]entry, 101)
	for i := range many {
		many[i] = file(fmt.Sprintf("f%d", i), "")
	}
	huge := tarball(t, file("f", "x"))
	copy(huge[124:136], "77777777777\x00") // the header says 8 GiB
	chk := 0
	copy(huge[148:156], "        ")
	for _, b := range huge[:512] {
		chk += int(b)
	}
	copy(huge[148:156], fmt.Sprintf("%06o\x00 ", chk))
	a := func(e ...entry) []byte { return tarball(t, e...) }
	for _, c := range []struct {
		name  string
		layer []byte
		want  string
	}{
		{"..", a(file("../evil", "x")), "leads out"},
		{".. inside", a(file("a/../../evil", "x")), "leads out"},
		{"hard link outside", a(hardlink("x", "../../etc/shadow")), "leads out"},
		{"hard link to nothing", a(hardlink("x", "etc/shadow")), "no such file"},
		{"hard link through a link outside", a(symlink("l", "/../../.."), hardlink("x", "l/etc/shadow")), "no such file"},
		{"hard link to a directory", a(dir("d"), hardlink("x", "d")), "no such file"},
		{"whiteout of the parent", a(file("a/.wh...", "")), "whiteout"},
		{"whiteout of itself", a(file("a/.wh..", "")), "whiteout"},
		{"whiteout of no name", a(file("a/.wh.", "")), "whiteout"},
		{"link loop", a(symlink("a", "b"), symlink("b", "a"), file("a/x", "1")), "symbolic links"},
		{"link to itself", a(symlink("a", "a/a"), file("a/x", "1")), "symbolic links"},
		{"below a file", a(file("a", "1"), file("a/b", "2")), "no directory"},
		{"too deep", a(file("1/2/3/4/5/6/7/8/9", "x")), "components"},
		{"too deep through links", a(dir("1/2/3/4/5/6"), symlink("l", "1/2/3/4/5/6"), file("l/7/8/9/x", "1")), "deep"},
		{"too many", a(many...), "more than 100 entries"},
		{"too large", a(file("a", strings.Repeat("x", 2<<20))), "an image may have"},
		{"huge size in the header", huge, "EOF"},
		{"names too long in all", a(file(strings.Repeat("a/", 6)+strings.Repeat("n", 250), ""), dir(strings.Repeat("b", 200)),
			symlink("l", strings.Repeat("t", 3600))), "4000 bytes in all"},
		{"attributes too long in all", a(xattred("a", 1500), xattred("b", 1500), xattred("c", 1500)), "4000 bytes in all"},
		{"long name", a(file(strings.Repeat("n", 256), "x")), "component"},
		{"owner outside", a(entry{name: "a", more: func(h *tar.Header) { h.Uid = 1<<32 - 1 }}), "owner"},
		{"owners everywhere", a(owners(20)...), "blocks of 65,536"},
		{"unknown type", a(entry{name: "a", kind: 'Z'}), "not known"},
		{"root as file", a(entry{name: "./", kind: tar.TypeSymlink, text: "/"}), "root"},
		{"cut off", a(file("a", strings.Repeat("x", 900)))[:700], "EOF"},
		{"no archive", bytes.Repeat([]byte("garbage!"), 200), "archive"},
	} {
		_, _, err := flat(t, small, c.layer)
		if !errors.Is(err, ErrImage) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got error %v, want an ErrImage with %q", c.name, err, c.want)
		}
	}
}

func TestAttributes(t *testing.T) {
	layer := tarball(t, entry{name: "ping", text: "elf", more: func(h *tar.Header) {
		h.Mode, h.Uid, h.Gid, h.Format = 0o4755, 7, 8, tar.FormatPAX
		h.PAXRecords = map[string]string{"SCHILY.xattr.security.capability": "cap", "SCHILY.xattr.user.note": "n",
			"SCHILY.xattr.user.overlay.redirect": "/etc/shadow", "SCHILY.xattr.trusted.overlay.opaque": "y",
			"SCHILY.xattr.security.selinux": "x"}
	}}, entry{name: "dev/null", kind: tar.TypeChar})
	_, tree, err := flat(t, DefaultLimits, layer)
	if err != nil {
		t.Fatal(err)
	}
	n := tree.Root().Children["ping"]
	if n.Mode != erofs.ModeRegular|0o4755 || n.UID != 7 || n.GID != 8 || n.MTime != 1_700_000_000 {
		t.Errorf("got %+v", n)
	}
	if got := fmt.Sprintf("%s", n.Xattrs); got != "[{security.capability cap} {user.note n}]" {
		t.Errorf("got attributes %s", got)
	}
	if got := strings.Join(tree.Notes(), "; "); !strings.Contains(got, "1 device nodes left out") ||
		!strings.Contains(got, "3 extended attributes left out") {
		t.Errorf("got notes %q", got)
	}
}

func FuzzAddLayer(f *testing.F) {
	for _, name := range sparseFiles {
		f.Add(fixture(f, name))
	}
	f.Add(tarball(f, file("a/b", "1"), hardlink("c", "a/b"), symlink("d", "../a"), file("d/.wh.b", "")))
	f.Fuzz(func(t *testing.T, layer []byte) {
		limits := Limits{Entries: 1000, Depth: 16, Bytes: 1 << 20, Meta: 1 << 20}
		if _, _, err := flat(t, limits, layer, layer); err != nil && !errors.Is(err, ErrImage) &&
			!strings.Contains(err.Error(), "lay out") {
			t.Errorf("got %v, want an ErrImage", err)
		}
	})
}
