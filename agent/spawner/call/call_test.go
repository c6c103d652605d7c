package call

import (
	"encoding/json"
	"errors"
	"io"
	"os"
	"reflect"
	"strings"
	"testing"

	"hardnode.dev/internal/testkit/sockets"
)

func TestHanded(t *testing.T) {
	s := Start{ID: "8", IDs: IDs{Base: 65536}, Scratch: "/s", LogDir: "/l", Process: Process{Argv: []string{"/netboot"}},
		Mounts: make([]Mount, 2), Handed: 4}
	s.Mounts[0].Path, s.Mounts[1].Path = "/a", "/b"
	r := Request{Start: &s}
	if err := r.Validate(); err != nil || r.FDs() != 9 {
		t.Errorf("%v, %d descriptors, want 9", err, r.FDs())
	}
	for _, n := range []int{-1, MaxHanded + 1} {
		s.Handed = n
		if err := r.Validate(); err == nil || !strings.Contains(err.Error(), "want 0 to 8") {
			t.Errorf("%d handed: %v", n, err)
		}
	}
}

func TestMessagesCarryDescriptors(t *testing.T) {
	a, b := sockets.Pair(t)
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
	a, _ := sockets.Pair(t)
	if err := PeerIsRoot(a); (err == nil) != (os.Getuid() == 0) {
		t.Errorf("uid %d: %v", os.Getuid(), err)
	}
}

func TestValidate(t *testing.T) {
	good := func() *Start {
		return &Start{ID: "7", IDs: IDs{Base: 65536}, Scratch: "/run/x", LogDir: "/data/log/7", Mounts: []Mount{{Path: "/data"}},
			Process: Process{Argv: []string{"a"}}}
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
		{func(s *Start) { s.UID = 70000 }, "no id 70000"},
		{func(s *Start) { s.GID = 70000 }, "no id 70000"},
		{func(s *Start) { s.Groups = []uint32{5, 1 << 20} }, "no id 1048576"},
		{func(s *Start) { s.Blocks, s.UID = []uint16{1}, 1<<17 }, "no id 131072"},
		{func(s *Start) { s.Blocks, s.UID = []uint16{65535}, 1<<32-1 }, "no id 4294967295"},
		{func(s *Start) { s.Blocks = []uint16{0} }, "ascending"},
		{func(s *Start) { s.Blocks = []uint16{2, 2} }, "ascending"},
		{func(s *Start) { s.Blocks = []uint16{3, 2} }, "ascending"},
		{func(s *Start) { s.Blocks = make([]uint16, 16) }, "at most 15"},
		{func(s *Start) { s.Base, s.Blocks = 1<<32-2*65536, []uint16{1} }, "base 4294836224"},
		{func(s *Start) { s.Seccomp = make([]byte, 9) }, "multiple of 8"},
	} {
		s := good()
		c.change(s)
		if err := (&Request{Start: s}).Validate(); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("got %v, want %q", err, c.want)
		}
	}
	for _, r := range []Request{{}, {List: &List{}, Wait: &Wait{}}, {Go: &Go{}, List: &List{}}, {Signal: &Signal{ID: "1", Signal: 99}},
		{Exec: &Exec{}}} {
		if r.Validate() == nil {
			t.Errorf("%+v is accepted", r)
		}
	}
}

func FuzzDecode(f *testing.F) {
	for _, r := range []Request{{List: &List{}}, {Go: &Go{}}, {Exec: &Exec{ID: "1", Process: Process{Argv: []string{"sh"}}}},
		{Start: &Start{ID: "7", Note: json.RawMessage("{}"), IDs: IDs{Base: 65536}, Scratch: "/x", LogDir: "/y",
			Process: Process{Argv: []string{"a"}}}}} {
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

// TestIDs: a container's ids lie on the host one block behind the other; the map says the same, and no id of one container is another's.
func TestIDs(t *testing.T) {
	i := IDs{Base: LargeRanges, Blocks: []uint16{1, 15, 65535}}
	if err := i.Validate(); err != nil {
		t.Fatal(err)
	}
	const want = "0 2147483648 65536\n65536 2147549184 65536\n983040 2147614720 65536\n4294901760 2147680256 65535\n"
	if got := i.Map(); got != want {
		t.Errorf("got map %q, want %q", got, want)
	}
	for id, want := range map[uint32]uint32{0: LargeRanges, 65535: LargeRanges + 65535, 100000: LargeRanges + 100000,
		1000000:   LargeRanges + 2*65536 + 1000000 - 983040,
		1<<32 - 2: LargeRanges + 3*65536 + 65534, 131072: 0, 1<<32 - 1: 0} {
		if got, ok := i.Host(id); got != want || ok != (want != 0) {
			t.Errorf("id %d is %d, %v on the host; want %d", id, got, ok, want)
		}
	}
	if got, ok := (IDs{Base: 65536}).Host(65536); ok {
		t.Errorf("id 65536 of a small range is %d", got)
	}
	most := IDs{Base: 1<<32 - 2*LargeRange}
	for n := range uint16(15) {
		most.Blocks = append(most.Blocks, n+1)
	}
	if err := most.Validate(); err != nil {
		t.Error(err)
	}
	if got, ok := most.Host(1<<20 - 1); !ok || int64(got) != 1<<32-LargeRange-1 {
		t.Errorf("the last id of the last range is %d", got)
	}
}
