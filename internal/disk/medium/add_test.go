package medium

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// iso makes an ISO with a place of that many bytes for hardnode.yaml.
func iso(t *testing.T, room int, volume string) string {
	t.Helper()
	dir := t.TempDir()
	tree := filepath.Join(dir, "tree")
	if err := os.MkdirAll(filepath.Join(tree, "boot"), 0o755); err != nil {
		t.Fatal(err)
	}
	files := map[string][]byte{"boot/vmlinuz": []byte("kernel"), "hardnode.yaml": bytes.Repeat([]byte{Blank}, room)}
	for i := range 60 { // a directory of more than one sector
		files[fmt.Sprintf("a-file-with-a-long-name-%02d.txt", i)] = []byte("text")
	}
	for name, data := range files {
		if err := os.WriteFile(filepath.Join(tree, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	out := filepath.Join(dir, "medium.iso")
	if text, err := exec.Command("xorriso", "-as", "mkisofs", "-quiet", "-iso-level", "3", "-volid", volume, "-o", out,
		tree).CombinedOutput(); errors.Is(err, exec.ErrNotFound) {
		t.Skip("xorriso is not installed: run make deps")
	} else if err != nil {
		t.Fatalf("xorriso: %v\n%s", err, text)
	}
	return out
}

// extracted is what a file of an ISO says, as another program reads it.
func extracted(t *testing.T, medium, name string) string {
	t.Helper()
	to := filepath.Join(t.TempDir(), "file")
	if text, err := exec.Command("xorriso", "-osirrox", "on", "-indev", medium, "-extract", "/"+name, to).CombinedOutput(); err != nil {
		t.Fatalf("xorriso: %v\n%s", err, text)
	}
	raw, err := os.ReadFile(to)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

func TestAddToISO(t *testing.T) {
	const name, room = "hardnode.yaml", 5000
	out := iso(t, room, Label)
	was, _ := os.ReadFile(out)
	for _, c := range []struct {
		data    string
		replace bool
		want    error
	}{
		{strings.Repeat("x", room+1), false, ErrFull},
		{"version: 1\nname: host-1\n", false, nil},
		{"version: 1\nname: host-2\n", false, ErrThere},
		{"version: 1\n", true, nil},
	} {
		if err := Add(out, name, []byte(c.data), c.replace); !errors.Is(err, c.want) || (err == nil) != (c.want == nil) {
			t.Errorf("add %.20q: %v, want %v", c.data, err, c.want)
		}
	}
	if got := extracted(t, out, name); strings.TrimRight(got, "\n") != "version: 1" || len(got) != room {
		t.Errorf("it says %.40q, %d bytes", got, len(got))
	}
	now, _ := os.ReadFile(out)
	differ := 0
	for i := range was {
		if was[i] != now[i] {
			differ++
		}
	}
	if len(was) != len(now) || differ > len("version: 1\n") {
		t.Errorf("%d bytes changed, and its size went from %d to %d", differ, len(was), len(now))
	}
	if left, _ := filepath.Glob(out + ".*"); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	if err := Add(iso(t, room, "OTHER"), name, []byte("a: b\n"), false); !errors.Is(err, ErrNoPlace) {
		t.Errorf("another CD: %v", err)
	}
	if err := Add(out, "bundle.json", []byte("{}"), false); !errors.Is(err, ErrNoPlace) {
		t.Errorf("a file without a place: %v", err)
	}
	if err := os.Truncate(out, isoVolume+isoSector); err != nil {
		t.Fatal(err)
	}
	if err := Add(out, name, []byte("a: b\n"), true); err == nil {
		t.Error("a CD that is cut off was written to")
	}
}

func TestAddToDisk(t *testing.T) {
	dir := t.TempDir()
	program := filepath.Join(dir, "program")
	if err := os.WriteFile(program, bytes.Repeat([]byte("p"), 70000), 0o600); err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(dir, "disk")
	if err := Disk(out, 64<<20, append(Places(), File{Path: Removable, Source: program})...); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		data    string
		replace bool
		want    error
	}{{"version: 1\n", false, nil}, {"version: 2\n", false, ErrThere}, {strings.Repeat("y", 9000), true, nil}} {
		if err := Add(out, "hardnode.yaml", []byte(c.data), c.replace); !errors.Is(err, c.want) || (err == nil) != (c.want == nil) {
			t.Errorf("add %.20q: %v, want %v", c.data, err, c.want)
		}
	}
	f, err := os.Open(out)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	p, err := find(f, "hardnode.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(p); err != nil || strings.TrimRight(string(got), "\n") != strings.Repeat("y", 9000) {
		t.Errorf("it says %.20q: %v", got, err)
	}
	part := filepath.Join(dir, "part")
	if text, err := exec.Command("dd", "if="+out, "of="+part, "bs=1M", "skip=1", "count=62", "conv=sparse").CombinedOutput(); err != nil {
		t.Fatalf("dd: %v\n%s", err, text)
	}
	if text, err := exec.Command("/usr/sbin/fsck.vfat", "-n", part).CombinedOutput(); errors.Is(err, os.ErrNotExist) {
		t.Log("fsck.vfat is not installed, so nobody else looked at the filesystem: run make deps")
	} else if err != nil {
		t.Errorf("fsck.vfat: %v\n%s", err, text)
	}
	for name, data := range map[string][]byte{"nothing": nil, "zeros": make([]byte, 8<<20), "text": []byte("hello")} {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, data, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := Add(file, "hardnode.yaml", []byte("a: b\n"), false); !errors.Is(err, ErrNoPlace) {
			t.Errorf("%s: %v", name, err)
		}
		if got, _ := os.ReadFile(file); !bytes.Equal(got, data) {
			t.Errorf("%s was changed", name)
		}
	}
	if err := Add(filepath.Join(dir, "none"), "hardnode.yaml", nil, false); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
}

// Same files, same bytes: neither the time nor the folder is in a medium.
func TestSameBytes(t *testing.T) {
	t.Setenv("SOURCE_DATE_EPOCH", "1790000000")
	var first []byte
	for i := range 2 {
		dir := t.TempDir()
		program := filepath.Join(dir, "program")
		if err := os.WriteFile(program, bytes.Repeat([]byte("p"), 70000), 0o600); err != nil {
			t.Fatal(err)
		}
		out := filepath.Join(dir, "disk")
		if err := Disk(out, 64<<20, append(Places(), File{Path: Removable, Source: program})...); err != nil {
			t.Fatal(err)
		}
		raw, err := os.ReadFile(out)
		if err != nil {
			t.Fatal(err)
		}
		if i > 0 && !bytes.Equal(raw, first) {
			t.Error("two disks of the same files differ")
		}
		first = raw
	}
}
