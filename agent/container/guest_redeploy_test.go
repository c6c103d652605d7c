//go:build guest

package container

import (
	"errors"
	"os"
	"strings"
	"testing"

	"hardnode.dev/agent/spawner/call"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/snapshot"
)

// anew has a container be of another generation, as its host does.
func anew(t *testing.T, r *Runtime, s *StartSpec, generation int64, name string) error {
	t.Helper()
	if err := r.Stop(deadline(t), s.CTID); err != nil {
		t.Fatal(err)
	}
	s.Generation = generation
	s.Image.IDBlocks, s.UIDBase = nil, uint32(s.CTID)*65536
	if name == "ids" {
		s.Image.IDBlocks, s.UIDBase = []uint16{1}, call.LargeRanges
	}
	s.ImagePath, s.Image.Digest = image(t, name)
	_, err := r.Start(deadline(t), *s)
	return err
}

// TestRedeploy: of a container's own files those go along to another image that its list names, with owners, modes, links and deletions,
// and no others; what it was before is kept as long as that is said, and comes back with all its files, and its volumes if they shall.
func TestRedeploy(t *testing.T) {
	spawnerUp(t)
	r := newRuntime(t)
	s := box(t, 345, forever)
	s.Volumes = []host.Volume{{Name: "data", Path: "/var/data", Bytes: 16 << 20}}
	mustStart(t, r, s)
	run := func(script, want string) {
		t.Helper()
		if got, code := sh(t, r, 345, script); got != want || want == "" && code != 0 {
			t.Errorf("generation %d: %s: got %q (%d), want %q", s.Generation, script, got, code, want)
		}
	}
	again := func(generation int64, name string) {
		t.Helper()
		if err := anew(t, r, &s, generation, name); err != nil {
			t.Fatal(err)
		}
	}
	run(`set -e; mkdir -p /opt/app/in /etc/jem /root/mine; echo one > /opt/app/one; chown 33:44 /opt/app/one /opt/app; chmod 2750 /opt/app
		chmod 4711 /opt/app/one; ln /opt/app/one /opt/app/in/same; ln -s /nowhere /opt/app/out; rm /srv/one; echo two > /srv/two
		echo other > /root/mine/file; echo told > /etc/jem/told.json; echo first > /var/data/first; echo changed > /etc/other
		printf '# mine\n/opt/app\n\n/srv\n/opt/none\n' > /etc/jem/redeploy.conf`, "")
	kept := `cd /opt/app; stat -c '%n %u:%g %a %h' . one in/same; readlink out; ls /srv; cat /srv/two /etc/jem/told.json`
	want := ". 33:44 2750 1\none 33:44 4711 2\nin/same 33:44 4711 2\n/nowhere\ntwo\ntwo\ntold"
	run(kept, want)

	first := s.Image
	s.Formers = []host.Former{{Generation: 1, Image: first}}
	again(2, "ids")
	run(kept, want)
	run("ls /root; ls /etc/other 2>/dev/null; cat /var/data/first; stat -c %u /opt /root", "first\n0\n100000")
	run("echo second > /var/data/second; rm /var/data/first; echo new > /root/new; rm -r /opt/app; ln -s /root /opt/app", "")
	if _, err := os.Stat("/data/ct/345/layer-1"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the layer of before: %v", err)
	}
	snaps := func() (list []snapshot.Snapshot) {
		t.Helper()
		list, err := r.Snapshots().List(345)
		if err != nil {
			t.Fatal(err)
		}
		return list
	}
	if got := snaps(); len(got) != 1 || !got[0].Former || got[0].Generation != 1 || got[0].Image != first.Digest {
		t.Errorf("snapshots: %+v", got)
	}

	// A link goes along as a link, and nothing through one.
	s.Formers = append(s.Formers, host.Former{Generation: 2, Image: s.Image})
	again(3, "box")
	run("readlink /opt/app; ls /root", "/root")
	run("echo /opt/app/new > /etc/jem/redeploy.conf; mkdir /root/new; echo x > /root/new/file; echo mine > /root/three", "")
	for conf, says := range map[string]string{"/opt/app/new": "a part of it is a link", "/usr": "line 1", "/opt/../../etc": "line 1",
		strings.Repeat("# long\n", 10_000): "65536 are read"} {
		run("rm -f /etc/jem/redeploy.conf; cat > /etc/jem/redeploy.conf <<X\n"+conf+"\nX", "")
		err := anew(t, r, &s, 4, "ids")
		if !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), says) {
			t.Errorf("list %.40q: %v, want %q", conf, err, says)
		}
		if c, err := r.data.Contents(345); err != nil || len(c.Layers) != 1 || c.Layers[0] != 3 || len(c.Rest) > 0 {
			t.Fatalf("after a start that failed there is %+v, %v", c, err)
		}
		s.Begins = nil
		again(3, "box")
	}
	run("rm /etc/jem/redeploy.conf; ln -s /root/three /etc/jem/redeploy.conf", "")
	if err := anew(t, r, &s, 4, "ids"); !errors.Is(err, ErrInvalid) {
		t.Errorf("a list that is a link: %v", err)
	}

	// It goes back: what never was another one is as it was; then what was before, with volumes as they are, and as they were.
	s.Begins = &host.Begins{Generation: 3}
	again(5, "box")
	run("cat /root/three /root/new/file; ls /var/data", "mine\nx\nsecond")
	s.Formers, s.Begins = nil, &host.Begins{Generation: 1}
	again(6, "box")
	run(kept, want)
	run("cat /root/mine/file; ls /var/data", "other\nsecond")
	s.Begins = &host.Begins{Generation: 1, Volumes: true}
	again(7, "box")
	run("cat /root/mine/file; ls /var/data", "other\nfirst")
	last := snaps()[0] // what the volumes had
	if last.Former || !strings.Contains(last.Note, "undone with its volumes") {
		t.Errorf("the last snapshot is %+v", last)
	}
	again(7, "box") // a start of the same generation leaves all as it is
	run("ls /var/data", "first")

	// More than the container may have is not kept, and nothing is lost.
	run("mkdir -p /etc/jem; rm -f /etc/jem/redeploy.conf; echo /opt/big > /etc/jem/redeploy.conf; mkdir /opt/big; "+
		"dd if=/dev/urandom of=/opt/big/a bs=1M count=12 2>/dev/null", "")
	s.Begins, s.Limits.DiskBytes = nil, 8<<20
	if err := anew(t, r, &s, 8, "ids"); !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), "make its disk larger") {
		t.Errorf("more than its disk has room for: %v", err)
	}
	s.Limits.DiskBytes = 64 << 20
	again(8, "ids")
	run("stat -c '%s %u' /opt/big/a", "12582912 0")
}
