package sealed

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"

	"filippo.io/age"

	"hardnode.dev/internal/wire/backup"
)

func key(t *testing.T) *age.X25519Identity {
	t.Helper()
	k, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// seal writes plain in frames, in segments of 1,000 bytes; begun is how often Begin was called.
func seal(k *age.X25519Identity, secret string, plain []byte, skip int64, had backup.Mark) (frames []byte, begun int, err error) {
	var out bytes.Buffer
	w := (&Writer{To: k.Recipient(), Secret: []byte(secret), Skip: skip, Had: had, size: 1000,
		Begin: func() error { begun++; return nil }}).Out(&out)
	for part := range slices.Chunk(plain, 333) {
		if _, err := w.Write(part); err != nil {
			return out.Bytes(), begun, err
		}
	}
	err = w.Close()
	return out.Bytes(), begun, err
}

// segments takes frames apart.
func segments(t *testing.T, frames []byte) (list [][]byte, marks []backup.Mark) {
	t.Helper()
	r := NewReader(bytes.NewReader(frames))
	for {
		s, m, err := r.Next()
		if errors.Is(err, io.EOF) {
			return list, marks
		}
		if err != nil {
			t.Fatal(err)
		}
		list, marks = append(list, slices.Clone(s)), append(marks, m)
	}
}

func each(list [][]byte) func() ([]byte, error) {
	return func() (s []byte, err error) {
		if len(list) == 0 {
			return nil, io.EOF
		}
		s, list = list[0], list[1:]
		return s, nil
	}
}

func read(k age.Identity, list [][]byte) ([]byte, error) {
	r, err := Open(each(list), false, k)
	if err != nil {
		return nil, err
	}
	return io.ReadAll(r)
}

func numbers(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i * i >> 3)
	}
	return b
}

// TestGoOn: what was cut behind any segment is gone on from there, and both together are the whole; other bytes, another secret or another
// mark begin nothing.
func TestGoOn(t *testing.T) {
	k := key(t)
	for _, size := range []int{1, 999, 1000, 1001, 3000, 3500} {
		plain := numbers(size)
		frames, begun, err := seal(k, "secret", plain, 0, backup.Mark{})
		if err != nil || begun != 1 {
			t.Fatalf("%d bytes: %v, begun %d times", size, err, begun)
		}
		list, marks := segments(t, frames)
		if len(list) != (size+999)/1000 {
			t.Fatalf("%d bytes: %d segments", size, len(list))
		}
		if got, err := read(k, list); err != nil || !bytes.Equal(got, plain) {
			t.Errorf("%d bytes: %d are read, %v", size, len(got), err)
		}
		for n := range size / 1000 {
			skip := int64(n+1) * 1000
			more, begun, err := seal(k, "secret", plain, skip, marks[n])
			if err != nil || begun != 1 {
				t.Fatalf("%d bytes behind %d: %v, begun %d times", size, skip, err, begun)
			}
			rest, _ := segments(t, more)
			if got, err := read(k, append(slices.Clone(list[:n+1]), rest...)); err != nil || !bytes.Equal(got, plain) {
				t.Errorf("%d bytes behind %d: %d are read, %v", size, skip, len(got), err)
			}
			other := slices.Clone(plain)
			other[10]++
			for what, c := range map[string]struct {
				secret string
				plain  []byte
				skip   int64
				had    backup.Mark
			}{
				"other bytes":    {"secret", other, skip, marks[n]},
				"another secret": {"other", plain, skip, marks[n]},
				"another mark":   {"secret", plain, skip, backup.Mark{}},
				"fewer bytes":    {"secret", plain[:skip-1], skip, marks[n]},
				"in the middle":  {"secret", plain, skip - 1, marks[n]},
			} {
				frames, begun, err := seal(k, c.secret, c.plain, c.skip, c.had)
				if !errors.Is(err, ErrOther) || begun != 0 || len(frames) > 0 {
					t.Errorf("%d bytes behind %d, %s: %v, %d bytes of frames", size, skip, what, err, len(frames))
				}
			}
		}
	}
}

// TestChanged: segments in another order, of another backup, or cut are found.
func TestChanged(t *testing.T) {
	k := key(t)
	of := func(b []byte) [][]byte {
		frames, _, err := seal(k, "secret", b, 0, backup.Mark{})
		if err != nil {
			t.Fatal(err)
		}
		list, _ := segments(t, frames)
		return list
	}
	list, other := of(numbers(2500)), of(bytes.Repeat([]byte("x"), 2500))
	const turned = "not the one that comes behind"
	for what, c := range map[string]struct {
		list [][]byte
		want string
	}{
		"turned":        {[][]byte{list[1], list[0], list[2]}, turned},
		"one left out":  {[][]byte{list[0], list[2]}, turned},
		"the first out": {list[1:], turned},
		"twice":         {[][]byte{list[0], list[0]}, turned},
		"of another":    {[][]byte{list[0], other[1]}, turned},
		"cut":           {[][]byte{list[0][:len(list[0])-9]}, ""},
		"no segment":    {[][]byte{[]byte("x")}, ""},
	} {
		if got, err := read(k, c.list); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %d bytes, %v", what, len(got), err)
		}
	}
	var none *age.NoIdentityMatchError
	if _, err := read(key(t), list); !errors.As(err, &none) {
		t.Errorf("with another key: %v", err)
	}
	if got, err := read(k, nil); err != nil || len(got) != 0 {
		t.Errorf("nothing: %d bytes, %v", len(got), err)
	}
}

// TestCompressed: what is compressed is smaller, comes back the same, and is gone on with like the other; either read as the other, and a
// segment that would fill the memory, are refused.
func TestCompressed(t *testing.T) {
	k := key(t)
	plain := bytes.Repeat([]byte("2026-11-28 10:15:02 a line of a log of an application\n"), 100_000)
	zip := func(skip int64, had backup.Mark, compress bool) (list [][]byte, marks []backup.Mark) {
		var out bytes.Buffer
		w := (&Writer{To: k.Recipient(), Secret: []byte("secret"), Skip: skip, Had: had, Compress: compress, size: 1 << 20,
			Begin: func() error { return nil }}).Out(&out)
		for part := range slices.Chunk(plain, 12_345) {
			if _, err := w.Write(part); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		return segments(t, out.Bytes())
	}
	read := func(list [][]byte, compressed bool) ([]byte, error) {
		r, err := Open(each(list), compressed, k)
		if err != nil {
			return nil, err
		}
		return io.ReadAll(r)
	}
	list, marks := zip(0, backup.Mark{}, true)
	size := 0
	for _, s := range list {
		size += len(s)
	}
	if len(list) != 6 || size > len(plain)/10 {
		t.Errorf("%d bytes are %d in %d segments", len(plain), size, len(list))
	}
	if got, err := read(list, true); err != nil || !bytes.Equal(got, plain) {
		t.Errorf("%d bytes are read of %d, %v", len(got), len(plain), err)
	}
	other, others := zip(0, backup.Mark{}, false)
	if others[3] != marks[3] {
		t.Error("a mark says whether bytes are compressed")
	}
	rest, _ := zip(3<<20, marks[2], true)
	if got, err := read(append(slices.Clone(list[:3]), rest...), true); err != nil || !bytes.Equal(got, plain) {
		t.Errorf("gone on with: %d bytes of %d, %v", len(got), len(plain), err)
	}
	if got, err := read(other, true); err == nil {
		t.Errorf("what is not compressed: %d bytes", len(got))
	}
	if got, err := read(list, false); err == nil && bytes.Equal(got, plain) {
		t.Error("what is compressed is read as it is")
	}
	cut := slices.Clone(list[0][:len(list[0])-100])
	if got, err := read([][]byte{cut}, true); err == nil {
		t.Errorf("cut: %d bytes", len(got))
	}
	var out bytes.Buffer
	w := (&Writer{To: k.Recipient(), Compress: true, size: Segment + 1, Begin: func() error { return nil }}).Out(&out)
	for range Segment>>20 + 1 {
		if _, err := w.Write(make([]byte, 1<<20)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	bomb, _ := segments(t, out.Bytes())
	if got, err := read(bomb[:1], true); err == nil || !strings.Contains(err.Error(), "holds more than one may") {
		t.Errorf("a segment of %d bytes is read to %d, %v", len(bomb[0]), len(got), err)
	}
}

// FuzzFrames: whatever comes for frames, segments are bounded, and the end is said.
func FuzzFrames(f *testing.F) {
	f.Add([]byte("e\x00\x00\x00\x00"))
	f.Add([]byte("p\x00\x00\x00\x01xm\x00\x00\x00\x20" + strings.Repeat("m", 32) + "e\x00\x00\x00\x00"))
	f.Add([]byte("p\x00\x01\x00\x01"))
	f.Add([]byte("m\x00\x00\x00\x20" + strings.Repeat("m", 32)))
	f.Fuzz(func(t *testing.T, b []byte) {
		r := NewReader(bytes.NewReader(b))
		for n := 0; ; n++ {
			s, _, err := r.Next()
			if err != nil {
				return
			}
			if len(s) == 0 || len(s) > len(b) || n > len(b) {
				t.Fatalf("%d bytes of %d", len(s), len(b))
			}
		}
	})
}
