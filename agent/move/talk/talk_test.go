package talk

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"io"
	"strings"
	"testing"

	"hardnode.dev/internal/disk/btrfs"
	"hardnode.dev/internal/testkit/golden"
	"hardnode.dev/internal/wire/snapshot"
)

func TestGolden(t *testing.T) {
	golden.Wire[Ask](t, "ask")
	golden.Wire[Answer](t, "answer")
}

func TestValidate(t *testing.T) {
	id := btrfs.Identity{UUID: btrfs.UUID{1}, Transid: 1}
	good := Head{Snapshot: "20261127-101502", Generation: 1, Parts: []Part{{Is: id}, {Volume: "data", Is: id}}}
	if err := good.Validate(); err != nil {
		t.Error(err)
	}
	for want, h := range map[string]*Head{
		"has no snapshot":       nil,
		`snapshot ""`:           {},
		"has a layer of no gen": {Snapshot: good.Snapshot, Parts: good.Parts},
		"is there twice":        {Snapshot: good.Snapshot, Generation: 1, Parts: []Part{{Is: id}, {Is: id}}},
		"has no identity":       {Snapshot: good.Snapshot, Generation: 1, Parts: []Part{{}}},
		`volume "../x"`:         {Snapshot: good.Snapshot, Parts: []Part{{Volume: "../x", Is: id}}},
		"has 65 parts":          {Snapshot: good.Snapshot, Parts: make([]Part, 65)},
		"says in 201 bytes":     {Snapshot: good.Snapshot, Sized: strings.Repeat("x", 201)},
		"comes with 65 of the":  {Snapshot: good.Snapshot, Kept: make([]Kept, 65)},
		`snapshot "../y"`:       {Snapshot: good.Snapshot, Kept: []Kept{{ID: "../y"}}},
		`said to be "20261127"`: {Snapshot: good.Snapshot, Meta: &snapshot.Snapshot{ID: "20261127"}},
		"notes of one line":     {Snapshot: good.Snapshot, Meta: &snapshot.Snapshot{ID: good.Snapshot, Note: "a\nb"}},
	} {
		if err := h.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

// sent is a stream as it is sent, without its first bytes.
func sent(t *testing.T, text string, skip int64, sum []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	o := Out{To: &b, Skip: skip, Sum: sum, Begin: func() error { return nil }}
	for at := 0; at < len(text); at += 7 {
		if _, err := o.Write([]byte(text[at:min(at+7, len(text))])); err != nil {
			t.Fatal(err)
		}
	}
	if err := o.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// TestCuts: cut anywhere, again and again, a stream is whole; changed anywhere, it is an error or was never read.
func TestCuts(t *testing.T) {
	text := strings.Repeat("0123456789", 5)
	whole := sent(t, text, 0, nil)
	for cut := range whole {
		first := true
		in := In{Max: 1000, Next: func(n int64, sum []byte) (io.Reader, error) {
			b := sent(t, text, n, sum)
			if first {
				b = b[:cut]
			}
			first = false
			return bytes.NewReader(b), nil
		}}
		got, err := io.ReadAll(&in)
		if string(got) != text || err != nil {
			t.Fatalf("cut at %d: %q, %v", cut, got, err)
		}
		if err := in.End(); err != nil {
			t.Fatal(err)
		}
		changed := bytes.Clone(whole)
		changed[cut] ^= 1
		gone := errors.New("no more")
		tries := 0
		in = In{Max: 1000, Next: func(int64, []byte) (io.Reader, error) {
			if tries++; tries > 1 {
				return nil, gone
			}
			return bytes.NewReader(changed), nil
		}}
		if got, err := io.ReadAll(&in); err == nil {
			t.Fatalf("changed at %d: %q is taken", cut, got)
		}
	}
}

func TestOther(t *testing.T) {
	sum := sha256.Sum256([]byte("x"))
	for _, skip := range []int64{1, 100} { // another beginning; more than there is
		o := Out{To: io.Discard, Skip: skip, Sum: sum[:], Begin: func() error { return nil }}
		_, err := o.Write([]byte("abc"))
		if err == nil {
			err = o.Close()
		}
		if !errors.Is(err, ErrOther) {
			t.Errorf("skip %d: %v", skip, err)
		}
	}
	in := In{Max: 10, Next: func(int64, []byte) (io.Reader, error) {
		return bytes.NewReader(sent(t, strings.Repeat("x", 100), 0, nil)), nil
	}}
	if _, err := io.ReadAll(&in); !errors.Is(err, ErrBroken) {
		t.Errorf("too much: %v", err)
	}
	if err := Read(bytes.NewReader([]byte{255, 255, 255, 255}), &Ask{}); err == nil {
		t.Error("a message of 4 GiB is read")
	}
}
