package flatten

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"testing"

	"hardnode.dev/orchestrator/registry/erofs"
)

// sparseFiles were made by GNU tar 1.34 of three names: big (3 GiB, only a hole), some (3 GiB with nine parts), hard (a link to big).
var sparseFiles = []string{"sparse-gnu", "sparse-pax-0.0", "sparse-pax-0.1", "sparse-pax-1.0"}

func fixture(t testing.TB, name string) []byte {
	t.Helper()
	f, err := os.Open("testdata/" + name + ".tar.gz")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// image is what becomes of one layer: the laid-out tree and the written image.
func image(t testing.TB, limits Limits, layer []byte) (*Tree, *erofs.Plan, memory) {
	t.Helper()
	tree := New(limits)
	if err := tree.AddLayer(t.Context(), bytes.NewReader(layer)); err != nil {
		t.Fatal(err)
	}
	plan, err := erofs.Lay(tree.Root())
	if err != nil {
		t.Fatal(err)
	}
	if plan.Size() > 100<<20 {
		t.Fatalf("the image has %d bytes", plan.Size())
	}
	m, fill, buf := make(memory, plan.Size()), NewFill(plan), make([]byte, 10_000)
	err = fill.Layer(t.Context(), bytes.NewReader(layer), func(n *erofs.Node, e erofs.Extent, r io.Reader) error {
		return plan.WriteExtent(m, n, e, r, buf)
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := fill.Done(); err != nil {
		t.Fatal(err)
	}
	return tree, plan, m
}

type memory []byte

func (m memory) WriteAt(b []byte, at int64) (int, error) { return copy(m[at:], b), nil }
func (m memory) ReadAt(b []byte, at int64) (int, error)  { return copy(b, m[at:]), nil }

// TestSparse: holes stay holes, in every way GNU tar writes them.
func TestSparse(t *testing.T) {
	for _, name := range sparseFiles {
		tree, plan, m := image(t, DefaultLimits, fixture(t, name))
		if plan.Size() > 1<<20 {
			t.Errorf("%s: 36 KiB of data became an image of %d bytes", name, plan.Size())
		}
		big, some := tree.Find("big"), tree.Find("some")
		if big == nil || some == nil || big.Size != 3<<30 || some.Size != 3<<30 || tree.Find("hard") != big {
			t.Fatalf("%s: got %+v and %+v", name, big, some)
		}
		for i := range 9 {
			want, buf := fmt.Sprintf("\x00part-%d\x00", i), make([]byte, 8)
			off := int64(i*300_000_000 + i - 1)
			if i == 0 {
				want, off = want[1:], 0
			}
			if _, err := plan.ReadContent(m, some, off, buf[:len(want)]); err != nil || string(buf[:len(want)]) != want {
				t.Errorf("%s: part %d is %q (%v), want %q", name, i, buf, err, want)
			}
		}
		buf := []byte("xxxx")
		if n, err := plan.ReadContent(m, big, 3<<30-2, buf); n != 2 || err != nil || string(buf) != "\x00\x00xx" {
			t.Errorf("%s: the end of the hole reads %d bytes, %q, %v", name, n, buf, err)
		}
	}
}

// gnuSparse is an entry of GNU tar's own sparse format: map is pairs of offset and length, stored what follows.
func gnuSparse(name string, size int64, pairs []int64, stored []byte) []byte {
	number := func(b []byte, n int64) {
		for i := len(b) - 1; i > 0; i-- {
			b[i], n = byte(n), n>>8
		}
		b[0] = 0x80
	}
	block := make([]byte, 512)
	copy(block, name)
	copy(block[100:], "0000644\x000000000\x000000000\x00")
	number(block[124:136], int64(len(stored)))
	copy(block[136:], "00000000000\x00        S")
	copy(block[257:], "ustar  \x00")
	number(block[483:495], size)
	out, at, room, more := block, 386, 4, 482
	for k := 0; k < len(pairs); k += 2 {
		if room == 0 {
			out[more] = 1
			at, room, more = len(out), 21, len(out)+504
			out = append(out, make([]byte, 512)...)
		}
		number(out[at:at+12], pairs[k])
		number(out[at+12:at+24], pairs[k+1])
		at, room = at+24, room-1
	}
	sum := 0
	for _, b := range out[:512] {
		sum += int(b)
	}
	copy(out[148:], fmt.Sprintf("%06o\x00 ", sum))
	out = append(out, stored...)
	return append(out, make([]byte, -len(out)&511)...)
}

// TestSparseBombs: small archives that name much are refused, or cost what they store.
func TestSparseBombs(t *testing.T) {
	limits := DefaultLimits
	limits.Meta, limits.Bytes = 1<<20, 64<<20
	tiny := func(n int, step int64) (pairs []int64, stored []byte) {
		for i := range int64(n) {
			pairs = append(pairs, i*step, 1)
		}
		return pairs, bytes.Repeat([]byte("x"), n)
	}
	pairs, stored := tiny(1000, 1<<26)
	tree, plan, m := image(t, limits, append(gnuSparse("f", 1000<<26, pairs, stored), make([]byte, 1024)...))
	if plan.Size() > limits.Bytes {
		t.Errorf("1,000 bytes in 62 GiB became %d", plan.Size())
	}
	buf := make([]byte, 2)
	if _, err := plan.ReadContent(m, tree.Find("f"), 999<<26, buf); err != nil || string(buf) != "x\x00" {
		t.Errorf("the last byte reads %q, %v", buf, err)
	}
	for name, layer := range map[string]func() []byte{
		"too large":           func() []byte { return gnuSparse("f", 1<<50, nil, nil) },
		"far end":             func() []byte { return gnuSparse("f", 1<<62, []int64{1<<62 - 1, 1}, []byte("x")) },
		"more than is stored": func() []byte { return gnuSparse("f", 1<<20, []int64{0, 1 << 19}, []byte("x")) },
		"not in order":        func() []byte { return gnuSparse("f", 1<<20, []int64{9, 1, 0, 1}, []byte("xx")) },
		"overlap":             func() []byte { return gnuSparse("f", 1<<20, []int64{0, 5, 4, 5}, make([]byte, 10)) },
		"too many parts": func() []byte {
			pairs, stored := tiny(40_000, 8192)
			return bytes.Repeat(gnuSparse("f", 40_000*8192, pairs, stored), 3)
		},
		"endless map": func() []byte {
			one := gnuSparse("f", 1<<40, make([]int64, 2*25), nil)
			block := one[512:1024]
			block[504] = 1
			return append(one[:512], bytes.Repeat(block, 20_000)...)
		},
		"endless names": func() []byte {
			h := gnuSparse("././@LongLink", 0, nil, nil)[:512]
			h[156], h[482] = 'L', 0
			sum := 8 * int(' ')
			for i, b := range h {
				if i < 148 || i >= 156 {
					sum += int(b)
				}
			}
			copy(h[148:], fmt.Sprintf("%06o\x00 ", sum))
			return bytes.Repeat(h, 20_000)
		},
	} {
		if _, _, err := flat(t, limits, layer()); !errors.Is(err, ErrImage) {
			t.Errorf("%s: got %v, want an ErrImage", name, err)
		}
	}
}

// TestZerosOfPlainFiles: what a builder without sparse archives makes of a hole (lastlog of a high user number) costs nothing either.
func TestZerosOfPlainFiles(t *testing.T) {
	zeros := strings.Repeat("\x00", 90<<20)
	tree, plan, m := image(t, DefaultLimits, tarball(t, file("lastlog", zeros+"end"), file("both", "a"+zeros[:1<<20]+"b"+zeros[:5000]),
		file("dense", strings.Repeat("x", 1<<20))))
	if plan.Size() > 2<<20 {
		t.Errorf("the image has %d bytes", plan.Size())
	}
	buf := make([]byte, 4)
	for _, c := range []struct {
		name string
		off  int64
		want string
	}{{"lastlog", 90 << 20, "end"}, {"lastlog", 90<<20 - 1, "\x00end"}, {"both", 0, "a\x00\x00\x00"}, {"both", 1 << 20, "\x00b\x00\x00"},
		{"dense", 1<<20 - 2, "xx"}} {
		if n, err := plan.ReadContent(m, tree.Find(c.name), c.off, buf); err != nil || string(buf[:n]) != c.want {
			t.Errorf("%s at %d: got %q, %v, want %q", c.name, c.off, buf[:n], err, c.want)
		}
	}
	if tree.Find("dense").Sparse || !tree.Find("lastlog").Sparse {
		t.Error("dense is sparse, or lastlog is not")
	}
}

// TestMemoryOfHeaders: names, targets and attributes don't hold on to the headers they came in, a megabyte each.
func TestMemoryOfHeaders(t *testing.T) {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	comment := strings.Repeat("c", 900_000)
	for i := range 100 {
		h := &tar.Header{Name: fmt.Sprintf("%s/f%d", strings.Repeat("d/", 100), i), Typeflag: tar.TypeReg, Format: tar.FormatPAX,
			PAXRecords: map[string]string{"comment": comment, "SCHILY.xattr.user.a": "v"}}
		if i%2 == 0 {
			h.Typeflag, h.Linkname = tar.TypeSymlink, strings.Repeat("target/", 20)
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
	}
	w.Close()
	limits := DefaultLimits
	limits.Depth = 200
	tree := New(limits)
	before := heap()
	if err := tree.AddLayer(t.Context(), bytes.NewReader(b.Bytes())); err != nil {
		t.Fatal(err)
	}
	if grown := heap() - before; grown > 10<<20 {
		t.Errorf("100 entries hold %d MiB", grown>>20)
	}
	runtime.KeepAlive(tree)
	runtime.KeepAlive(b)
}

func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// FuzzArchive: entries and contents are those of package tar, which spells holes out.
func FuzzArchive(f *testing.F) {
	for _, name := range sparseFiles {
		f.Add(fixture(f, name)[:20_000])
	}
	f.Add(append(gnuSparse("f", 100, []int64{0, 3, 90, 10}, []byte("abcdefghijklm")), make([]byte, 1024)...))
	f.Add(tarball(f, dir("d"), file("d/a", "1"), hardlink("l", "d/a"), entry{name: "p", text: "x", more: func(h *tar.Header) {
		h.Format, h.Xattrs = tar.FormatPAX, map[string]string{"user.x": "y"}
	}}))
	f.Fuzz(func(t *testing.T, layer []byte) {
		want, a := tar.NewReader(bytes.NewReader(layer)), &archive{r: bytes.NewReader(layer)}
		for {
			w, werr := want.Next()
			g, gerr := a.next()
			if werr != nil || gerr != nil {
				if werr == io.EOF && gerr != io.EOF || gerr == io.EOF && werr != io.EOF {
					t.Fatalf("package tar ends with %v, we with %v", werr, gerr)
				}
				return
			}
			if w.Name != g.Name || w.Size != g.Size || w.Typeflag != g.Typeflag {
				t.Fatalf("package tar has %+v, we %+v", w, g)
			}
			if w.Size > 1<<20 || !strings.ContainsRune("07S", rune(w.Typeflag)) {
				continue
			}
			wraw, werr := io.ReadAll(want)
			graw := make([]byte, g.Size)
			var gotErr error
			for _, e := range a.extents {
				if _, gotErr = io.ReadFull(a, graw[e.Offset:e.Offset+e.Length]); gotErr != nil {
					break
				}
			}
			if werr == nil && (gotErr != nil || !bytes.Equal(wraw, graw)) {
				t.Fatalf("%q: package tar reads %q, we %q (%v)", w.Name, wraw, graw, gotErr)
			}
			if werr != nil {
				return
			}
		}
	})
}
