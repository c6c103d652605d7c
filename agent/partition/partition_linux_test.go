package partition

import (
	"crypto/sha256"
	"os"
	"path/filepath"
	"testing"
)

func TestOf(t *testing.T) {
	for disk, want := range map[string]string{"/dev/sda": "/dev/sda2", "/dev/nvme0n1": "/dev/nvme0n1p2", "/dev/vdb": "/dev/vdb2"} {
		if got := Of(disk, 2); got != want {
			t.Errorf("%s: the second partition is %s, want %s", disk, got, want)
		}
	}
}

// What is copied is what was read, whatever was there before.
func TestCopy(t *testing.T) {
	dir := t.TempDir()
	from, to := filepath.Join(dir, "from"), filepath.Join(dir, "to")
	for path, text := range map[string]string{from: "short", to: "something longer"} {
		if err := Write(path, text); err != nil {
			t.Fatal(err)
		}
	}
	sum, err := Copy(to, from)
	if err != nil || sum != sha256.Sum256([]byte("short")) {
		t.Fatalf("copied %x, %v", sum, err)
	}
	if got, err := Sum(to); err != nil || got != sum {
		t.Errorf("what is there is %x, %v; copied was %x", got, err, sum)
	}
	if err := Sync(dir); err != nil {
		t.Error(err)
	}
	was, err := os.Stat(to)
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"longer than what was there before", "short", ""} {
		if err := Write(from, text); err != nil {
			t.Fatal(err)
		}
		sum, err := Copy(to, from)
		if raw, e := os.ReadFile(to); err != nil || e != nil || string(raw) != text || sum != sha256.Sum256(raw) {
			t.Errorf("written over: %q, %v, %v; want %q", raw, err, e, text)
		}
		if is, err := os.Stat(to); err != nil || !os.SameFile(was, is) {
			t.Errorf("it is not written over in its place, %v", err)
		}
	}
	if err := Write(to, "kept"); err != nil {
		t.Fatal(err)
	}
	if _, err := Copy(to, dir); err == nil { // it is opened, and can't be read
		t.Error("a folder was copied as a file")
	}
	if is, err := os.Stat(to); err != nil || !os.SameFile(was, is) {
		t.Errorf("what can't be read took away the file that was to be written over, %v", err)
	}
	odd := filepath.Join(dir, "a folder, where a file should be")
	if err := os.Mkdir(odd, 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := Copy(odd, from); err != nil {
		t.Errorf("what can't be written over is not made anew: %v", err)
	}
	if _, err := Copy(filepath.Join(dir, "no", "folder"), from); err == nil {
		t.Error("a file was copied into a folder that is not there")
	}
	if err := os.Remove(from); err != nil {
		t.Fatal(err)
	}
	if _, err := Copy(to, from); err == nil {
		t.Error("a file that is not there was copied")
	}
}
