package call

import (
	"encoding/json"
	"errors"
	"io"
	"net"
	"os"
	"reflect"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func pair(t *testing.T) (a, b *net.UnixConn) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	var out [2]*net.UnixConn
	for i, fd := range fds {
		f := os.NewFile(uintptr(fd), "pair")
		c, err := net.FileConn(f)
		f.Close()
		if err != nil {
			t.Fatal(err)
		}
		out[i] = c.(*net.UnixConn)
		t.Cleanup(func() { c.Close() })
	}
	return out[0], out[1]
}

func TestMessagesCarryDescriptors(t *testing.T) {
	a, b := pair(t)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	want := Request{Start: &Start{ID: "7", Note: json.RawMessage(`{"x":1}`), Process: Process{Argv: []string{strings.Repeat("x", 1<<20)}}}}
	go func() {
		Send(a, want, w)
		w.Close()
		Send(a, Request{List: &List{}})
		a.Close()
	}()
	var got Request
	files, err := Receive(b, &got)
	if err != nil || len(files) != 1 || !reflect.DeepEqual(got, want) {
		t.Fatalf("got %d descriptors, %v", len(files), err)
	}
	io.WriteString(files[0], "through")
	CloseAll(files)
	if text, _ := io.ReadAll(r); string(text) != "through" {
		t.Errorf("the descriptor is another: %q", text)
	}
	var second Request
	if files, err := Receive(b, &second); err != nil || len(files) != 0 || second.List == nil {
		t.Errorf("second message: %+v, %v", second, err)
	}
	if _, err := Receive(b, &second); !errors.Is(err, io.EOF) {
		t.Errorf("after the last: %v, want io.EOF", err)
	}
}

func TestPeerIsRoot(t *testing.T) {
	a, _ := pair(t)
	if err := PeerIsRoot(a); (err == nil) != (os.Getuid() == 0) {
		t.Errorf("uid %d: %v", os.Getuid(), err)
	}
}

func TestValidate(t *testing.T) {
	good := func() *Start {
		return &Start{ID: "7", Base: 65536, Scratch: "/run/x", LogDir: "/data/log/7", Mounts: []Mount{{Path: "/data"}}, Process: Process{Argv: []string{"a"}}}
	}
	if err := (&Request{Start: good()}).Validate(); err != nil {
		t.Errorf("good start: %v", err)
	}
	for _, c := range []struct {
		change func(*Start)
		want   string
	}{
		{func(s *Start) { s.ID = "" }, "no id"},
		{func(s *Start) { s.Base = 0 }, "base 0"},
		{func(s *Start) { s.Base = 1<<32 - 65536 }, "base 4294901760"},
		{func(s *Start) { s.Scratch = "run" }, "scratch"},
		{func(s *Start) { s.LogDir = "" }, "log directory"},
		{func(s *Start) { s.Mounts = make([]Mount, 300) }, "at most"},
		{func(s *Start) { s.Mounts[0].Path = "data" }, "absolute"},
		{func(s *Start) { s.Argv = nil }, "no program"},
		{func(s *Start) { s.Env = []string{"a=\x00"} }, "zero byte"},
		{func(s *Start) { s.UID = 70000 }, "up to 65535"},
		{func(s *Start) { s.Seccomp = make([]byte, 9) }, "multiple of 8"},
	} {
		s := good()
		c.change(s)
		if err := (&Request{Start: s}).Validate(); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("got %v, want %q", err, c.want)
		}
	}
	for _, r := range []Request{{}, {List: &List{}, Wait: &Wait{}}, {Go: &Go{}, List: &List{}}, {Signal: &Signal{ID: "1", Signal: 99}}, {Exec: &Exec{}}} {
		if r.Validate() == nil {
			t.Errorf("%+v is accepted", r)
		}
	}
}

func FuzzDecode(f *testing.F) {
	for _, r := range []Request{{List: &List{}}, {Go: &Go{}}, {Exec: &Exec{ID: "1", Process: Process{Argv: []string{"sh"}}}},
		{Start: &Start{ID: "7", Note: json.RawMessage("{}"), Base: 65536, Scratch: "/x", LogDir: "/y", Process: Process{Argv: []string{"a"}}}}} {
		b, err := json.Marshal(r)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Add([]byte(`{"list":{}} x`))
	f.Add([]byte(`{"nonsense":1}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		var r Request
		if Decode(b, &r) != nil || r.Validate() != nil {
			return
		}
		again, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		var second Request
		if err := Decode(again, &second); err != nil || second.Validate() != nil || second.FDs() != r.FDs() {
			t.Errorf("%q was accepted, written as %q, and then refused: %v", b, again, err)
		}
	})
}
