package desired

import (
	"encoding/json"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"hardnode.dev/agent/spawner/call"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/boot"
	"hardnode.dev/internal/wire/host"
)

const digest = wire.Digest("sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa")

func component(id wire.CTID) host.Container {
	c := bare(id)
	c.Image.Digest, c.Process.Argv = digest, []string{"/registry"}
	return c
}

// bare names its image only.
func bare(id wire.CTID) host.Container {
	return host.Container{CTID: id, Env: "jelastic", Hostname: "c", Generation: 1, Run: true, Profile: host.ProfileApp,
		Component: "registry",
		Image:     host.Image{Name: "registry"}, IPv4: netip.AddrFrom4([4]byte{10, 96, 0, byte(10 + id)})}
}

func open(t *testing.T, dir string, images ...string) *Store {
	t.Helper()
	s, err := Open(dir, strings.Join(images, ""), nil)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// A report asks for the revisions: it must not wait while a document is on its slow way to the disk.
func TestReadersWaitForNoDisk(t *testing.T) {
	s := open(t, t.TempDir())
	s.writing.Lock()
	defer s.writing.Unlock()
	done := make(chan struct{})
	go func() { s.Revisions(); s.Work(); s.Peers(); s.Problems(); close(done) }()
	select {
	case <-done:
	case <-time.After(time.Minute):
		t.Error("a reader waits for a document that is being written")
	}
}

// What an earlier or a later version of the agent accepted is asked for anew: it may have left out what it did not know.
func TestAnotherVersionAsksAnew(t *testing.T) {
	dir, this := t.TempDir(), program
	defer func() { program = this }()
	known := func(s *Store, wantWork, wantPeers wire.Revision) {
		t.Helper()
		if k := s.Known(); k.Work != wantWork || k.Peers != wantPeers || k.Hosts != 0 || k.Names != nil {
			t.Errorf("known is %s, want work %d and peers %d", k.Query(), wantWork, wantPeers)
		}
	}
	s := open(t, dir)
	work := &host.Work{Version: 1, Revision: 5, Containers: []host.Container{component(1)}}
	peers := &host.Peers{Version: 1, Revision: 9}
	if err := s.Accept(host.Assignment{Work: work, Peers: peers}); err != nil {
		t.Fatal(err)
	}
	known(s, 5, 9)
	known(open(t, dir), 5, 9)

	program = "0.2.0 another"
	s = open(t, dir)
	known(s, 0, 0)
	if w, p := s.Revisions(); w != 5 || p != 9 {
		t.Errorf("in force are work %d and peers %d, want 5 and 9", w, p)
	}
	if err := s.Accept(host.Assignment{Peers: peers}); err != nil {
		t.Fatal(err)
	}
	known(s, 0, 9)
	known(open(t, dir), 0, 0) // the work was not accepted before the end: both are asked for
	if err := s.Accept(host.Assignment{Work: work, Peers: peers}); err != nil {
		t.Fatal(err)
	}
	known(open(t, dir), 5, 9)
}

func TestAcceptIsDurable(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	if w, _ := s.Work(); w != nil {
		t.Fatal("an empty store has work")
	}
	if err := s.Accept(host.Assignment{Work: &host.Work{Version: 1, Revision: 5, Containers: []host.Container{component(1)}},
		Peers: &host.Peers{Version: 1, Revision: 9,
			Gossip: host.GossipKeys{Use: []byte("0123456789abcdef0123456789abcdef")}}}); err != nil {
		t.Fatal(err)
	}
	select {
	case <-s.Changed():
	default:
		t.Error("no hint of the change")
	}
	again := open(t, dir)
	if w, p := again.Revisions(); w != 5 || p != 9 {
		t.Errorf("got revisions %d and %d, want 5 and 9", w, p)
	}
	if string(again.Peers().Gossip.Use.Reveal()) != "0123456789abcdef0123456789abcdef" {
		t.Error("the gossip key did not survive")
	}
	if err := again.Accept(host.Assignment{Work: &host.Work{Version: 1, Revision: 6}}); err != nil {
		t.Fatal(err)
	}
	w, confirmed := open(t, dir).Work()
	if len(w.Containers) != 1 || len(confirmed) != 1 {
		t.Error("a component that the new work does not mention was dropped")
	}
	for _, name := range []string{"work.json", "peers.json"} {
		if st, err := os.Stat(filepath.Join(dir, name)); err != nil || st.Mode().Perm() != 0o600 {
			t.Errorf("%s: got %v, %v; want mode 0600", name, st.Mode(), err)
		}
	}
}

// TestCrash tears the documents in every way a power cut could if the order of writes were wrong: what is left is the old or nothing.
func TestCrash(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	if err := s.Accept(host.Assignment{Work: &host.Work{Version: 1, Revision: 5}}); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "work.json")
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	// A leftover temporary file of a write that did not finish is ignored.
	if err := os.WriteFile(filepath.Join(dir, ".work.json.123"), whole[:len(whole)/2], 0o600); err != nil {
		t.Fatal(err)
	}
	if w, _ := open(t, dir).Revisions(); w != 5 {
		t.Errorf("with a leftover: got revision %d, want 5", w)
	}
	for n := range len(whole) {
		if err := os.WriteFile(path, whole[:n], 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := Open(dir, "", nil)
		if err != nil {
			t.Fatalf("cut at byte %d: %v", n, err)
		}
		if w, _ := s.Work(); w != nil || len(s.Problems()) != 1 {
			t.Fatalf("cut at byte %d: got work %v and problems %v, want none and one", n, w, s.Problems())
		}
		if kept, err := os.ReadFile(path + ".damaged"); err != nil || len(kept) != n {
			t.Fatalf("cut at byte %d: the damaged document was not kept", n)
		}
	}
}

func TestNewerDocumentStopsEverything(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	if err := s.Accept(host.Assignment{Work: &host.Work{Version: 1, Revision: 5}}); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "work.json")
	raw, _ := os.ReadFile(path)
	os.WriteFile(path, []byte(strings.Replace(string(raw), `"version":1`, `"version":2`, 1)), 0o600)
	if _, err := Open(dir, "", nil); err == nil || !strings.Contains(err.Error(), "newer") {
		t.Errorf("got %v, want an error that says newer", err)
	}
	if err := s.Accept(host.Assignment{Work: &host.Work{Version: 1, Revision: 6}}); err == nil {
		t.Error("a document of a later version was overwritten")
	}
}

func TestImportBundle(t *testing.T) {
	dir, images := t.TempDir(), t.TempDir()
	path := filepath.Join(dir, "bundle.json")
	write := func(v any, to string) {
		t.Helper()
		raw, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(to, raw, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	bundle := boot.Bundle{Version: 1, Cluster: "cl-0123456789abcdef", Name: "demo",
		Work: host.Work{Version: 1, Revision: 1, Containers: []host.Container{bare(1)}}}

	s := open(t, filepath.Join(dir, "desired"), images)
	if err := s.ImportBundle(path); err != nil {
		t.Fatalf("no bundle: %v", err)
	}
	write(bundle, path)
	if err := s.ImportBundle(path); err == nil || !strings.Contains(err.Error(), `no image "registry"`) {
		t.Fatalf("image not on the medium: got %v", err)
	}
	write([]boot.BundledImage{{Image: host.Image{Name: "registry", Digest: digest, Bytes: 3},
		Process: host.Process{Argv: []string{"/registry"}}}}, filepath.Join(images, "index.json"))
	if err := s.ImportBundle(path); err != nil {
		t.Fatal(err)
	}
	w, _ := s.Work()
	if c := w.Containers[0]; c.Image.Digest != digest || c.Process.Argv[0] != "/registry" {
		t.Errorf("got %+v, want the medium's digest and process", c)
	}
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Error("the bundle was not deleted")
	}

	// The orchestrator imported the same bundle: its work names the image as the bundle did.
	if err := s.Accept(host.Assignment{Work: &host.Work{Version: 1, Revision: 8, Containers: []host.Container{bare(1)}}}); err != nil {
		t.Fatal(err)
	}
	if w, _ := s.Work(); w.Containers[0].Image.Digest != digest || w.Containers[0].Process.Argv[0] != "/registry" {
		t.Errorf("the same generation lost its image: %+v", w.Containers[0])
	}
	write(bundle, path)
	if err := s.ImportBundle(path); err != nil {
		t.Fatal(err)
	}
	if w, _ := s.Revisions(); w != 8 {
		t.Errorf("a second boot took the bundle again: got revision %d, want 8", w)
	}
	os.WriteFile(path, []byte(`{"version":1,"surprise":1}`), 0o600)
	if err := open(t, t.TempDir()).ImportBundle(path); err == nil || !strings.Contains(err.Error(), `field "cluster" is missing`) {
		t.Errorf("missing field: got %v", err)
	}
}

func TestUIDBase(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	a, _ := s.UIDBase(101, false)
	b, _ := s.UIDBase(102, false)
	if a == b || a%rangeSize != 0 || a < firstRange {
		t.Errorf("got %d and %d", a, b)
	}
	if again, _ := open(t, dir).UIDBase(101, false); again != a {
		t.Errorf("after a restart: got %d, want %d", again, a)
	}
	if err := s.FreeUIDBase(101); err != nil {
		t.Fatal(err)
	}
	if c, _ := s.UIDBase(103, false); c != a {
		t.Errorf("a freed range is not given again: got %d, want %d", c, a)
	}
}

// TestRangesInUseWin: the record may be lost, older than what runs, or wrong; no two containers get one range.
func TestRangesInUseWin(t *testing.T) {
	base := func(n uint32) uint32 { return firstRange + n*rangeSize }
	for _, c := range []struct {
		name    string
		record  map[wire.CTID]uint32 // nil: none
		running map[wire.CTID]uint32
		start   []wire.CTID
		shared  []wire.CTID
	}{
		{"lost", nil, map[wire.CTID]uint32{101: base(0), 102: base(3)}, []wire.CTID{103, 104, 105}, nil},
		{"torn", map[wire.CTID]uint32{}, map[wire.CTID]uint32{101: base(0)}, []wire.CTID{102}, nil},
		{"older: another has the range", map[wire.CTID]uint32{103: base(0), 101: base(7)}, map[wire.CTID]uint32{101: base(0)},
			[]wire.CTID{103, 104}, nil},
		{"two of one range", map[wire.CTID]uint32{101: base(0), 102: base(0)}, map[wire.CTID]uint32{102: base(0)},
			[]wire.CTID{101, 103}, nil},
		{"out of bounds", map[wire.CTID]uint32{101: 0, 102: 65537, 103: 65536}, nil, []wire.CTID{101, 102, 103}, nil},
		{"swapped", map[wire.CTID]uint32{101: base(0), 102: base(1)}, map[wire.CTID]uint32{101: base(1), 102: base(0)},
			[]wire.CTID{103}, nil},
		{"two run in one", nil, map[wire.CTID]uint32{101: base(0), 102: base(0)}, []wire.CTID{103}, []wire.CTID{102}},
	} {
		dir := t.TempDir()
		if c.record != nil {
			if err := open(t, dir).ranges.Save(c.record); err != nil {
				t.Fatal(err)
			}
		}
		if c.name == "torn" {
			if err := os.Truncate(filepath.Join(dir, "ranges.json"), 9); err != nil {
				t.Fatal(err)
			}
		}
		s := open(t, dir)
		shared, err := s.InUse(c.running)
		if err != nil || !slices.Equal(shared, c.shared) {
			t.Errorf("%s: shared %v, %v; want %v", c.name, shared, err, c.shared)
		}
		for _, s := range []*Store{s, open(t, dir)} { // and the same after a restart
			used := map[uint32]bool{}
			for _, b := range c.running {
				used[b] = true
			}
			for _, id := range c.start {
				b, err := s.UIDBase(id, false)
				if err != nil || used[b] || b < firstRange || b%rangeSize != 0 {
					t.Errorf("%s: container %d gets %d, %v; taken are %v", c.name, id, b, err, used)
				}
				used[b] = true
			}
			for id, b := range c.running {
				if got, err := s.UIDBase(id, false); err != nil || got != b && !slices.Contains(c.shared, id) {
					t.Errorf("%s: container %d, which runs in %d, gets %d, %v", c.name, id, b, got, err)
				}
			}
		}
	}
}

// TestLargeRanges: a container whose image needs more ids has a range of its own that no other touches, and keeps it.
func TestLargeRanges(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	size := func(base uint32) int64 {
		if base >= call.LargeRanges {
			return call.LargeRange
		}
		return rangeSize
	}
	given := map[wire.CTID]uint32{}
	get := func(s *Store, id wire.CTID, large bool) uint32 {
		t.Helper()
		b, err := s.UIDBase(id, large)
		if err != nil {
			t.Fatal(err)
		}
		given[id] = b
		for other, o := range given {
			if other != id && int64(o) < int64(b)+size(b) && int64(b) < int64(o)+size(o) {
				t.Errorf("containers %d and %d share ids: %d and %d", id, other, b, o)
			}
		}
		if int64(b)+size(b) > 1<<32-1 {
			t.Errorf("range %d holds the number that means none", b)
		}
		return b
	}
	small := get(s, 101, false)
	large := get(s, 102, true)
	if large < call.LargeRanges || large%call.LargeRange != 0 || small >= call.LargeRanges {
		t.Errorf("got %d and %d", small, large)
	}
	if b := get(s, 102, false); b != large {
		t.Errorf("a smaller image of the same container: got %d, want %d", b, large)
	}
	if b := get(s, 101, true); b < call.LargeRanges {
		t.Errorf("a larger image of the same container: got %d", b)
	}
	again := open(t, dir)
	if b := get(again, 102, true); b != large {
		t.Errorf("after a restart: got %d, want %d", b, large)
	}
	// An earlier version gave small ranges up there; what runs in one keeps it, and nobody is given ids of it.
	old := uint32(call.LargeRanges + 5*call.LargeRange + 3*rangeSize)
	if _, err := again.InUse(map[wire.CTID]uint32{900: old, 102: large}); err != nil {
		t.Fatal(err)
	}
	for id := wire.CTID(200); id < 220; id++ {
		if b := get(again, id, true); b <= old && old < b+call.LargeRange {
			t.Errorf("container %d is given %d, in which container 900 runs", id, b)
		}
	}
	if b := get(again, 102, true); b != large {
		t.Errorf("the range in which it runs: got %d, want %d", b, large)
	}
	// The last one there is.
	full := open(t, t.TempDir())
	for b := int64(call.LargeRanges); b < lastLarge; b += call.LargeRange {
		full.writing.ranges[wire.CTID(b)] = uint32(b)
	}
	given = map[wire.CTID]uint32{}
	if b := get(full, 1, true); int64(b) != lastLarge {
		t.Errorf("the last range: got %d", b)
	}
	if b, err := full.UIDBase(2, true); err == nil || !strings.Contains(err.Error(), "2047 of 1048576") {
		t.Errorf("one too many: got %d, %v", b, err)
	}
	get(full, 3, false)
}
