package message

import (
	"bytes"
	"encoding/binary"
	"io"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"hardnode.dev/internal/testkit/golden"
)

func TestGolden(t *testing.T) {
	golden.Wire[Hello](t, "hello")
	golden.Wire[Welcome](t, "welcome")
}

func TestRequest(t *testing.T) {
	r := Request{Op: Lookup, Unique: 6 | Resent, Node: 9, UID: 3, GID: NoID, Body: []byte("name\x00")}
	b := r.Bytes()
	got, err := ParseRequest(b)
	if err != nil || got.Op != r.Op || got.Unique != r.Unique || got.Number() != 6 || got.Node != 9 || got.UID != 3 || got.GID != NoID ||
		string(got.Body) != "name\x00" {
		t.Errorf("%+v, %v", got, err)
	}
	for _, bad := range [][]byte{nil, b[:39], b[:44], append(bytes.Clone(b), 0), make([]byte, Max+1),
		append(append(bytes.Clone(b[:36]), 1), b[37:]...)} {
		if r, err := ParseRequest(bad); err == nil {
			t.Errorf("%d bytes are %+v", len(bad), r)
		}
	}
}

func TestAnswer(t *testing.T) {
	for _, c := range []struct {
		errno unix.Errno
		body  string
		want  unix.Errno
		size  int
	}{{0, "abc", 0, 19}, {unix.ENOENT, "abc", unix.ENOENT, 16}, {5000, "", unix.EIO, 16}} {
		b := Answer(8, c.errno, []byte(c.body))
		unique, errno, err := ParseAnswer(b)
		if unique != 8 || errno != c.want || err != nil || len(b) != c.size {
			t.Errorf("%v %q: %d, %v, %v, %d bytes", c.errno, c.body, unique, errno, err, len(b))
		}
	}
	for _, code := range []int32{1, -512, -1 << 31} {
		b := Answer(8, 0, nil)
		binary.LittleEndian.PutUint32(b[4:], uint32(code))
		if _, errno, err := ParseAnswer(b); err == nil {
			t.Errorf("error %d is taken for %v", code, errno)
		}
	}
	b := Answer(8, 0, []byte("with"))
	binary.LittleEndian.PutUint32(b[4:], uint32(0xfffffffe))
	if _, _, err := ParseAnswer(b); err == nil {
		t.Error("an error with a body is taken")
	}
}

func TestReadOne(t *testing.T) {
	buf := make([]byte, Max)
	two := append(Answer(2, 0, []byte("x")), Answer(4, unix.EIO, nil)...)
	r := bytes.NewReader(two)
	for _, size := range []int{17, 16} {
		if b, err := ReadOne(r, buf, AnswerAt); len(b) != size || err != nil {
			t.Errorf("%d bytes, %v; want %d", len(b), err, size)
		}
	}
	if _, err := ReadOne(r, buf, AnswerAt); err != io.EOF {
		t.Errorf("at the end: %v", err)
	}
	for _, bad := range []string{"\x0f\x00\x00\x00xxxxxxxxxxxx", "\xff\xff\xff\xff", "\x20\x00\x00\x00short"} {
		if b, err := ReadOne(strings.NewReader(bad), buf, AnswerAt); err == nil {
			t.Errorf("%q is %q", bad, b)
		}
	}
}

func TestHello(t *testing.T) {
	var b bytes.Buffer
	if err := WriteHello(&b, Hello{Version: 1, Of: 101, Volume: "data", For: 102, Name: "shared", Mount: "x"}); err != nil {
		t.Fatal(err)
	}
	var h Hello
	if err := ReadHello(&b, &h); err != nil || h.Of != 101 || h.Name != "shared" {
		t.Errorf("%+v, %v", h, err)
	}
	for _, bad := range []string{"", "\x01\x10\x00\x00", "\x02\x00\x00\x00{}", "\x05\x00\x00\x00{}"} {
		if err := ReadHello(strings.NewReader(bad), &h); err == nil {
			t.Errorf("%q is a greeting", bad)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(Request{Op: Lookup, Node: 1, Body: []byte("x\x00")}.Bytes())
	f.Add(Answer(2, unix.EIO, nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		if r, err := ParseRequest(b); err == nil && (len(r.Body) != len(b)-RequestAt || len(b) > Max) {
			t.Errorf("%x is %+v", b, r)
		}
		if _, errno, err := ParseAnswer(b); err == nil && (errno > largestErr || errno != 0 && len(b) != AnswerAt) {
			t.Errorf("%x has the error %d", b, errno)
		}
		var h Hello
		ReadHello(bytes.NewReader(b), &h)
		ReadOne(bytes.NewReader(b), make([]byte, Max), RequestAt)
	})
}
