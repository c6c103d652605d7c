//go:build guest

package container

import (
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"hardnode.dev/agent/spawner/call"
	"hardnode.dev/agent/sys"
	"hardnode.dev/internal/disk/btrfs"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/volume"
)

// volumeOf is what Observe says of a container's volume.
func volumeOf(t *testing.T, r *Runtime, id wire.CTID, name string) (u volume.Use) {
	t.Helper()
	all, err := r.Observe(deadline(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range all {
		for _, u := range o.InVolumes {
			if o.CTID == id && u.Name == name {
				return u
			}
		}
	}
	t.Fatalf("container %s has no volume %q", id, name)
	return u
}

// TestVolumeIsFilled: a new volume begins as a copy of what the image has at its path, is written in place when that is wished, keeps to
// its quota, which changes live, and is left alone by a restart and by another generation.
func TestVolumeIsFilled(t *testing.T) {
	spawnerUp(t)
	r := newRuntime(t)
	const mib = 1 << 20
	s := box(t, 340, forever)
	s.Volumes = []host.Volume{{Name: "data", Path: "/srv", Bytes: 16 * mib, NoCOW: true}, {Name: "bin", Path: "/bin", Bytes: 16 * mib},
		{Name: "new", Path: "/var/new", Bytes: 16 * mib}}
	mustStart(t, r, s)
	for _, c := range [][2]string{ // in this order
		{"cat /srv/one /srv/two", "one\ntwo"},
		{"ls /var/new | wc -l", "0"},
		{"stat -c '%u:%g %a' /bin/busybox", "0:0 755"},
		{"readlink /bin/sh", "busybox"},
		{"rm /srv/one && echo three > /srv/three; ls /srv", "three\ntwo"},
	} {
		if got, _ := sh(t, r, 340, c[0]); got != c[1] {
			t.Errorf("%s: got %q, want %q", c[0], got, c[1])
		}
	}
	for name, want := range map[string]bool{"vol-data": true, "vol-data/three": true, "vol-bin": false} {
		f, err := os.Open("/data/ct/340/" + name)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := btrfs.NoCOW(f); err != nil || got != want {
			t.Errorf("%s is written in place: %v %v, want %v", name, got, err, want)
		}
		f.Close()
	}
	if u := volumeOf(t, r, 340, "data"); u.Limit != 16*mib || !u.NoCOW || u.Note != "" || u.Bytes > mib {
		t.Errorf("new: %+v", u)
	}

	full := func(path string, limit int64) {
		t.Helper()
		out, code := sh(t, r, 340, "dd if=/dev/zero of="+path+"/full bs=64k; sync; stat -c %s "+path+"/full")
		u := volumeOf(t, r, 340, "data")
		if path == "/var/new" {
			u = volumeOf(t, r, 340, "new")
		}
		if code != 0 || !strings.Contains(out, "uota exceeded") || u.Bytes > limit || u.Bytes < limit-2*mib {
			t.Errorf("filled: %d %s; %d KiB of %d", code, out, u.Bytes>>10, limit>>10)
		}
		t.Logf("%s, full, counts %d KiB of %d; it says: %s", path, u.Bytes>>10, limit>>10, strings.ReplaceAll(out, "\n", "; "))
	}
	full("/srv", 16*mib)
	full("/var/new", 16*mib)
	s.Volumes[0].Bytes, s.Volumes[2].Bytes = 24*mib, 24*mib
	if err := r.SetVolumes(deadline(t), 340, append(s.Volumes, host.Volume{Name: "later", Path: "/later", Bytes: mib})); err != nil {
		t.Fatal(err)
	}
	full("/srv", 24*mib)
	full("/var/new", 24*mib)
	sh(t, r, 340, "rm /srv/full /var/new/full; sync")

	if err := r.Stop(deadline(t), 340); err != nil {
		t.Fatal(err)
	}
	if err := r.Remove(deadline(t), 340, true); err != nil { // nothing is left but volumes
		t.Fatal(err)
	}
	s.Generation = 2
	if _, err := r.Start(deadline(t), s); err != nil {
		t.Fatal(err)
	}
	if got, _ := sh(t, r, 340, "ls /srv"); got != "three\ntwo" {
		t.Errorf("in the next generation /srv has %q", got)
	}
}

// TestVolumeToAnotherImage: a volume goes on as it is, with its owners and without being filled again, under an image whose files belong to
// other users, and under the first one again; a volume that is new then begins as what the image of that time has.
func TestVolumeToAnotherImage(t *testing.T) {
	spawnerUp(t)
	r := newRuntime(t)
	s := box(t, 342, forever)
	s.Volumes = []host.Volume{{Name: "data", Path: "/srv", Bytes: 16 << 20}}
	mustStart(t, r, s)
	if out, code := sh(t, r, 342, "set -e; cd /srv; rm one; echo mine > two; echo three > three; chown 33:44 three; chmod 640 three; "+
		"mkdir in; chown 65533 in; ln -s /nowhere out; chmod 2770 .; sync"); code != 0 {
		t.Fatalf("write: %s", out)
	}
	const dir = "/data/ct/342/vol-data"
	was := tree(t, dir)
	redeploy := func(generation int64, name string, blocks []uint16) {
		t.Helper()
		if err := r.Stop(deadline(t), 342); err != nil {
			t.Fatal(err)
		}
		s.Generation, s.Image.IDBlocks, s.UIDBase = generation, blocks, 342*65536
		if len(blocks) > 0 {
			s.UIDBase = call.LargeRanges
		}
		s.ImagePath, s.Image.Digest = image(t, name)
		if _, err := r.Start(deadline(t), s); err != nil {
			t.Fatal(err)
		}
		if got := tree(t, dir); got != was {
			t.Errorf("generation %d, image %s: the volume is\n%s\nand was\n%s", generation, name, got, was)
		}
	}
	says := func(list ...[2]string) {
		t.Helper()
		for _, c := range list {
			if got, _ := sh(t, r, 342, c[0]); got != c[1] {
				t.Errorf("generation %d: %s: got %q, want %q", s.Generation, c[0], got, c[1])
			}
		}
	}
	owners := [2]string{"cd /srv && stat -c '%n %u:%g %a' . in three two", ". 0:0 2770\nin 65533:0 755\nthree 33:44 640\ntwo 0:0 644"}

	s.Volumes = append(s.Volumes, host.Volume{Name: "late", Path: "/bin", Bytes: 32 << 20})
	redeploy(2, "ids", []uint16{1})
	says(owners, [2]string{"cat /srv/two /srv/three; ls /srv; readlink /srv/out", "mine\nthree\nin\nout\nthree\ntwo\n/nowhere"},
		[2]string{"stat -c %u:%g /bin /bin/busybox /usr", "100000:100000\n100000:100000\n100000:100000"},
		[2]string{"cd /srv && echo large > large && chown 100000:100001 large && rm /bin/wget && sync && stat -c %u:%g large",
			"100000:100001"})
	was = tree(t, dir)

	redeploy(3, "box", nil) // what belongs to users that this image has not is there, and theirs
	says(owners, [2]string{"cat /srv/large; ls /bin/wget 2>/dev/null; stat -c %u:%g /usr", "large\n0:0"})

	redeploy(4, "ids", []uint16{1})
	says(owners, [2]string{"stat -c %u:%g /srv/large; ls /bin/wget 2>/dev/null", "100000:100001"})
}

// TestVolumeFillFails: a volume that can't be filled is not there, and neither is anything of it; what a power cut left is made anew.
func TestVolumeFillFails(t *testing.T) {
	spawnerUp(t)
	r := newRuntime(t)
	s := box(t, 341, forever)
	s.Volumes = []host.Volume{{Name: "small", Path: "/bin", Bytes: 256 << 10}}
	_, err := r.Start(deadline(t), s)
	if err == nil || !strings.Contains(err.Error(), `volume "small"`) || !strings.Contains(err.Error(), "make the volume larger") {
		t.Fatalf("start: %v", err)
	}
	t.Logf("%v", err)
	if list, err := os.ReadDir("/data/ct/341"); err == nil {
		t.Errorf("left: %v", list)
	}
	if err := os.Mkdir("/data/ct/341", 0o700); err != nil {
		t.Fatal(err)
	}
	home, err := sys.OpenDir("/data/ct/341")
	if err != nil {
		t.Fatal(err)
	}
	defer home.Close()
	if err := btrfs.CreateSubvolume(home, "new-vol-small"); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile("/data/ct/341/new-vol-small/half", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	s.Volumes[0].Bytes = 64 << 20
	mustStart(t, r, s)
	var st unix.Stat_t
	if err := unix.Lstat("/data/ct/341/vol-small/half", &st); err == nil {
		t.Error("what a cut left is in the volume")
	}
	if out, code := sh(t, r, 341, "cmp /bin/busybox /proc/1/exe && ls /bin/sh"); code != 0 {
		t.Errorf("the copy: %d %s", code, out)
	}
}
