package erofs

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// memory is an image in memory.
type memory []byte

func (m memory) WriteAt(b []byte, at int64) (int, error) {
	if at < 0 || at+int64(len(b)) > int64(len(m)) {
		return 0, fmt.Errorf("write %d bytes at %d of %d", len(b), at, len(m))
	}
	return copy(m[at:], b), nil
}

// sample is a tree with every case of the layout: the files' contents come from content.
func sample() *Node {
	file := func(size int64) *Node {
		return &Node{Mode: ModeRegular | 0o644, UID: 33, GID: 33, MTime: 1_700_000_000 + size, Size: size}
	}
	dir := func(c map[string]*Node) *Node { return &Node{Mode: ModeDir | 0o755, Children: c, MTime: 1} }
	many := map[string]*Node{}
	for i := range 1000 {
		many[fmt.Sprintf("file-with-a-long-name-%04d", i)] = file(int64(i % 7 * 811))
	}
	linked := file(100)
	setuid := file(4096)
	setuid.Mode = ModeRegular | 0o4755
	setuid.Xattrs = []Xattr{{"security.capability",
		[]byte("\x01\x00\x00\x02\x00\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00")}, {"user.note", []byte("odd")}}
	sizes := map[string]*Node{}
	for _, n := range []int64{0, 1, 2047, 2048, 2049, 4032, 4033, 4095, 4096, 4097, 6144, 6145, 8191, 8192, 100_000} {
		sizes[fmt.Sprint(n)] = file(n)
	}
	holes := map[string]*Node{}
	for name, parts := range map[string][]Extent{
		"none": nil, "start": {{0, 10}}, "middle": {{1_000_000, 5000}}, "end": {{2_999_999, 1}},
		"some":  {{5, 100_000}, {200_000, 1}, {1_500_000, 8192}},
		"every": {{0, 1_000_000}, {1_000_000, 2_000_000}}, "small": {{0, 2_900_000}, {2_999_000, 1000}},
	} {
		n := file(3_000_000)
		n.Sparse, n.Data = true, parts
		holes[name] = n
	}
	holes["middle"].Xattrs = []Xattr{{"user.note", []byte("odd")}}
	return dir(map[string]*Node{
		"holes": dir(holes), "sizes": dir(sizes), "many": dir(many), "empty": dir(nil), "a": linked,
		"b": dir(map[string]*Node{"c": linked}), "setuid": setuid,
		"short": {Mode: ModeSymlink | 0o777, Target: "sizes/1"}, "long": {Mode: ModeSymlink | 0o777, Target: strings.Repeat("x/", 2040)},
		"longest": {Mode: ModeSymlink | 0o777, Target: strings.Repeat("y", MaxTarget)}, "fifo": {Mode: ModeFIFO | 0o600},
		"-": file(3), strings.Repeat("n", MaxName): file(4), "\xff": file(5), "ä ö": file(6),
	})
}

func content(n *Node) []byte {
	b := make([]byte, n.Size)
	r := rand.New(rand.NewPCG(uint64(n.Size), 7))
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	if n.Sparse {
		end := int64(0)
		for _, e := range append(slices.Clone(n.Data), Extent{n.Size, 0}) {
			clear(b[end:e.Offset])
			end = e.Offset + e.Length
		}
	}
	return b
}

func build(t testing.TB, root *Node, reverse bool) memory {
	t.Helper()
	p, err := Lay(root)
	if err != nil {
		t.Fatal(err)
	}
	m := make(memory, p.Size())
	files := p.Files()
	for i := range files {
		n := files[i]
		if reverse {
			n = files[len(files)-1-i]
		}
		if err := p.WriteContent(m, n, bytes.NewReader(content(n)), make([]byte, 1000)); err != nil {
			t.Fatal(err)
		}
	}
	if err := p.WriteMeta(m, [16]byte{1, 2, 3}); err != nil {
		t.Fatal(err)
	}
	return m
}

func TestSameTreeSameImage(t *testing.T) {
	if !bytes.Equal(build(t, sample(), false), build(t, sample(), true)) {
		t.Error("two images of the same tree differ")
	}
}

// TestFsck has Debian's fsck.erofs check and extract the image: an implementation of the format that is not ours.
func TestFsck(t *testing.T) {
	fsck, err := exec.LookPath("fsck.erofs")
	if err != nil {
		t.Skip("needs Debian's erofs-utils")
	}
	root := sample()
	img := filepath.Join(t.TempDir(), "i.erofs")
	if err := os.WriteFile(img, build(t, root, false), 0o600); err != nil {
		t.Fatal(err)
	}
	if log, err := exec.Command(fsck, img).CombinedOutput(); err != nil || bytes.Contains(log, []byte("<E>")) {
		t.Fatalf("fsck.erofs: %v\n%s", err, log)
	}
	// Its version 1.5 checks holes, but leaves them out of what it extracts: the kernel is asked for those.
	root = sample()
	delete(root.Children, "holes")
	if err := os.WriteFile(img, build(t, root, false), 0o600); err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(t.TempDir(), "out")
	if log, err := exec.Command(fsck, "--extract="+out, img).CombinedOutput(); err != nil || bytes.Contains(log, []byte("<E>")) {
		t.Fatalf("fsck.erofs: %v\n%s", err, log)
	}
	compare(t, out, root)
}

// compare walks what was extracted against the tree.
func compare(t *testing.T, path string, n *Node) {
	st, err := os.Lstat(path)
	if err != nil {
		t.Error(err)
		return
	}
	sys := st.Sys().(*syscall.Stat_t)
	// fsck.erofs clears set-user-id bits when it changes the owner; a mount in a guest is looked at for those.
	if want := n.Mode & 0o777; n.Mode&ModeType != ModeSymlink && sys.Mode&0o777 != want {
		t.Errorf("%s: got mode %o, want %o", path, sys.Mode, want)
	}
	switch n.Mode & ModeType {
	case ModeRegular:
		got, err := os.ReadFile(path)
		if err != nil || !bytes.Equal(got, content(n)) {
			t.Errorf("%s: got %d bytes that differ from the %d wanted (%v)", path, len(got), n.Size, err)
		}
		if st.ModTime().Unix() != n.MTime {
			t.Errorf("%s: got time %d, want %d", path, st.ModTime().Unix(), n.MTime)
		}
	case ModeSymlink:
		if got, err := os.Readlink(path); err != nil || got != n.Target {
			t.Errorf("%s: got target %.40q, want %.40q (%v)", path, got, n.Target, err)
		}
	case ModeDir:
		list, err := os.ReadDir(path)
		if err != nil || len(list) != len(n.Children) {
			t.Errorf("%s: got %d names, want %d (%v)", path, len(list), len(n.Children), err)
		}
		for name, c := range n.Children {
			compare(t, filepath.Join(path, name), c)
		}
	}
}

func TestLayRefuses(t *testing.T) {
	dir := func(name string, n *Node) *Node {
		return &Node{Mode: ModeDir | 0o755, Children: map[string]*Node{name: n}}
	}
	shared := &Node{Mode: ModeDir | 0o755}
	for name, root := range map[string]*Node{
		"nothing":             nil,
		"a file as root":      {Mode: ModeRegular},
		"a device":            dir("sda", &Node{Mode: 0o060600}),
		"name ..":             dir("..", &Node{Mode: ModeRegular}),
		"empty name":          dir("", &Node{Mode: ModeRegular}),
		"long name":           dir(strings.Repeat("n", MaxName+1), &Node{Mode: ModeRegular}),
		"empty target":        dir("l", &Node{Mode: ModeSymlink}),
		"long target":         dir("l", &Node{Mode: ModeSymlink, Target: strings.Repeat("n", MaxTarget+1)}),
		"trusted attribute":   dir("f", &Node{Mode: ModeRegular, Xattrs: []Xattr{{"trusted.overlay.opaque", []byte("y")}}}),
		"large attribute":     dir("f", &Node{Mode: ModeRegular, Xattrs: []Xattr{{"user.x", make([]byte, MaxXattrs)}}}),
		"huge file":           dir("f", &Node{Mode: ModeRegular, Size: MaxFile + 1}),
		"part beyond the end": dir("f", &Node{Mode: ModeRegular, Size: 10, Sparse: true, Data: []Extent{{5, 6}}}),
		"parts overlap":       dir("f", &Node{Mode: ModeRegular, Size: 10, Sparse: true, Data: []Extent{{0, 6}, {5, 1}}}),
		"two names of a dir":  {Mode: ModeDir, Children: map[string]*Node{"a": shared, "b": shared}},
	} {
		if _, err := Lay(root); err == nil {
			t.Errorf("%s: was laid out", name)
		}
	}
}

func TestWriteContentSize(t *testing.T) {
	for _, size := range []int{10, 5000, 8192} {
		root := &Node{Mode: ModeDir | 0o755, Children: map[string]*Node{"f": {Mode: ModeRegular, Size: int64(size)}}}
		p, err := Lay(root)
		if err != nil {
			t.Fatal(err)
		}
		for _, got := range []int{0, size - 1, size + 1} {
			err := p.WriteContent(make(memory, p.Size()), p.Files()[0], bytes.NewReader(make([]byte, got)), make([]byte, 4096))
			if !errors.Is(err, ErrContent) {
				t.Errorf("%d bytes for a file of %d: got %v, want ErrContent", got, size, err)
			}
		}
	}
}
