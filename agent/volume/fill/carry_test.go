package fill

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestCarry: what a layer has at a path goes along, with the directories on the way as the image has them; what leads through a link does
// not, and makes nothing.
func TestCarry(t *testing.T) {
	old, from, to := dirs(t)
	root, image, _ := dirs(t)
	at := func(p string) string { return filepath.Join(old, p) }
	must(t, os.MkdirAll(at("opt/app/in"), 0o750), os.WriteFile(at("opt/app/in/text"), []byte("hello"), 0o640), os.Chmod(at("opt"), 0o777),
		os.Symlink("/etc/passwd", at("opt/app/out")), os.Link(at("opt/app/in/text"), at("opt/app/same")), os.Symlink(root, at("away")),
		os.WriteFile(at("file"), []byte("x"), 0o600), os.Mkdir(filepath.Join(root, "opt"), 0o711), os.MkdirAll(at("own/deep"), 0o700),
		os.WriteFile(at("own/deep/file"), []byte("secret"), 0o600), os.Chmod(at("own"), 0o705), os.Mkdir(filepath.Join(root, "own"), 0o755),
		os.Remove(filepath.Join(root, "own")))
	must(t, os.WriteFile(filepath.Join(root, "file"), nil, 0o600))
	attrs := unix.Setxattr(at("opt/app"), opaque, []byte("y"), 0) == nil // not every file system has them
	unix.Setxattr(at("opt/app"), "user.overlay.origin", []byte("x"), 0)
	unix.Setxattr(at("opt"), opaque, []byte("y"), 0)
	carry := func(p string) (bool, error) { return Carry(t.Context(), from, to, image, p, Options{Has: anybody}) }
	for _, c := range []struct {
		path  string
		there bool
		says  string // of an error
	}{
		{path: "/opt/app", there: true}, {path: "/own/deep/file", there: true}, {path: "/none/x"}, {path: "/opt/none"},
		{path: "/away/file", says: "is a link or a file"}, {path: "/file/x", says: "is a link or a file"},
		{path: "/away", there: true}, // the link itself
		{path: "/opt/app", says: "file exists"},
	} {
		there, err := carry(c.path)
		if there != c.there || (err == nil) != (c.says == "") || err != nil && !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, %v", c.path, there, err)
		}
	}
	for path, want := range map[string]string{"opt": "drwx--x--x", "opt/app": "drwxr-x---", "opt/app/in/text": "-rw-r-----",
		"opt/app/out": "Lrwxrwxrwx", "own": "drwx---r-x", "own/deep/file": "-rw-------", "away": "Lrwxrwxrwx"} {
		if st, err := os.Lstat(filepath.Join(to.Name(), path)); err != nil || st.Mode().String() != want {
			t.Errorf("%s: %v, %v, want %s", path, st, err, want)
		}
	}
	if _, err := os.Lstat(filepath.Join(to.Name(), "file")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("made on the way to what is refused: %v", err)
	}
	a, err1 := os.Stat(filepath.Join(to.Name(), "opt/app/in/text"))
	b, err2 := os.Stat(filepath.Join(to.Name(), "opt/app/same"))
	if err := errors.Join(err1, err2); err != nil || !os.SameFile(a, b) {
		t.Errorf("one file under two names is %v and %v, %v", a, b, err)
	}
	get := func(path, name string) string {
		var value [16]byte
		n, _ := unix.Getxattr(filepath.Join(to.Name(), path), name, value[:])
		return string(value[:max(n, 0)])
	}
	if attrs && (get("opt/app", opaque) != "y" || get("opt/app", "user.overlay.origin") != "" || get("opt", opaque) != "") {
		t.Errorf("opaque %q, origin %q, and of the directory on the way %q", get("opt/app", opaque), get("opt/app", "user.overlay.origin"),
			get("opt", opaque))
	}
}

// TestCarryBounds: what is longer than the container's disk is refused, and says so; likewise what belongs to users that it does not have.
func TestCarryBounds(t *testing.T) {
	old, from, to := dirs(t)
	must(t, os.WriteFile(filepath.Join(old, "big"), make([]byte, 4096), 0o600))
	_, err := Carry(t.Context(), from, to, to, "/big", Options{Bytes: 4095, Has: anybody})
	if err == nil || !strings.Contains(err.Error(), `keep "/big"`) || !strings.Contains(err.Error(), "make its disk larger") {
		t.Errorf("too long: %v", err)
	}
	_, err = Carry(t.Context(), from, to, to, "/big", Options{Has: func(uint32) bool { return false }})
	if err == nil || !strings.Contains(err.Error(), "which the container does not have") {
		t.Errorf("nobody's: %v", err)
	}
}
