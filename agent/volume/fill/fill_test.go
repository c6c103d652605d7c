package fill

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// dirs are an image's directory and an empty volume.
func dirs(t *testing.T) (image string, from, to *os.File) {
	t.Helper()
	image, volume := t.TempDir(), t.TempDir()
	open := func(p string) *os.File {
		f, err := os.Open(p)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { f.Close() })
		return f
	}
	return image, open(image), open(volume)
}

func must(t *testing.T, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

func anybody(uint32) bool { return true }

// TestCopy: content, holes, modes, times, attributes, links and pipes arrive; devices and sockets don't.
func TestCopy(t *testing.T) {
	image, from, to := dirs(t)
	old := time.Unix(1_000_000_000, 5000)
	at := func(p string) string { return filepath.Join(image, p) }
	must(t, os.MkdirAll(at("a/b"), 0o750), os.WriteFile(at("a/b/text"), []byte("hello"), 0o640), os.Symlink("/etc/passwd", at("a/out")),
		os.Symlink("b/text", at("a/in")), unix.Mkfifo(at("pipe"), 0o620), os.Chmod(at("pipe"), 0o620), os.Link(at("a/b/text"), at("same")),
		os.WriteFile(at("set"), nil, 0o600), os.Chmod(at("set"), 0o755|fs.ModeSetuid), os.WriteFile(at("hole"), nil, 0o600),
		os.Truncate(at("hole"), 8<<20), os.Mkdir(at("locked"), 0o500), os.Chmod(at("a"), 0o751|fs.ModeSetgid))
	f, err := os.OpenFile(at("hole"), os.O_WRONLY, 0)
	must(t, err)
	_, err = f.WriteAt([]byte("end"), 8<<20-3)
	must(t, err, f.Close())
	attrs := unix.Setxattr(at("a/b"), "user.note", []byte("kept"), 0) == nil // not every file system has them
	l, err := net.Listen("unix", at("sock"))
	must(t, err)
	defer l.Close()
	must(t, os.Chtimes(at("a/b"), old, old), os.Chtimes(at("a/b/text"), old, old))
	if err := Copy(t.Context(), from, to, Options{Bytes: 64 << 20, Has: anybody}); err != nil {
		t.Fatal(err)
	}
	var got []string
	must(t, filepath.WalkDir(to.Name(), func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		i, err := d.Info()
		rel, _ := filepath.Rel(to.Name(), p)
		got = append(got, fmt.Sprintf("%s %s", rel, i.Mode()))
		return err
	}))
	info, err := os.Stat(image)
	must(t, err)
	want := []string{". " + info.Mode().String(), "a dgrwxr-x--x", "a/b drwxr-x---", "a/b/text -rw-r-----", "a/in Lrwxrwxrwx",
		"a/out Lrwxrwxrwx", "hole -rw-------", "locked dr-x------", "pipe prw--w----", "same -rw-r-----", "set urwxr-xr-x"}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	in := func(p string) string { return filepath.Join(to.Name(), p) }
	if s, err := os.Readlink(in("a/out")); err != nil || s != "/etc/passwd" {
		t.Errorf("link: %q %v", s, err)
	}
	if b, err := os.ReadFile(in("same")); err != nil || string(b) != "hello" {
		t.Errorf("second name: %q %v", b, err)
	}
	var x, y, hole syscall.Stat_t
	must(t, syscall.Stat(in("same"), &x), syscall.Stat(in("a/b/text"), &y), syscall.Stat(in("hole"), &hole))
	if x.Ino != y.Ino || x.Mtim != (syscall.Timespec{Sec: old.Unix(), Nsec: 5000}) {
		t.Errorf("two names of one file: inodes %d and %d, time %v", x.Ino, y.Ino, x.Mtim)
	}
	if hole.Size != 8<<20 || hole.Blocks*512 > 1<<20 {
		t.Errorf("the hole: %d bytes long, takes %d", hole.Size, hole.Blocks*512)
	}
	value := make([]byte, 16)
	if n, err := unix.Getxattr(in("a/b"), "user.note", value); attrs && (err != nil || string(value[:n]) != "kept") {
		t.Errorf("attribute: %q %v", value[:max(n, 0)], err)
	}
}

// TestHostile: what an image may have that must not fill a host, or a volume by half.
func TestHostile(t *testing.T) {
	for _, tt := range []struct {
		name string
		make func(t *testing.T, image string)
		o    Options
		want string
	}{
		{"longer than the volume", func(t *testing.T, image string) {
			must(t, os.WriteFile(image+"/f", nil, 0o600), os.Truncate(image+"/f", 1<<40))
		}, Options{Bytes: 4 << 20, Has: anybody}, "more than its 4096 KiB there; make the volume larger"},
		{"together longer", func(t *testing.T, image string) {
			for i := range 3 {
				f := fmt.Sprint(image, "/", i)
				must(t, os.WriteFile(f, nil, 0o600), os.Truncate(f, 2<<20))
			}
		}, Options{Bytes: 5 << 20, Has: anybody}, "make the volume larger"},
		{"endless, and no limit", func(t *testing.T, image string) {
			must(t, os.WriteFile(image+"/f", nil, 0o600), os.Truncate(image+"/f", 1<<40))
		}, Options{Has: anybody}, "too long"},
		{"deep", func(t *testing.T, image string) {
			must(t, os.MkdirAll(image+strings.Repeat("/d", maxDepth+2), 0o700))
		}, Options{Has: anybody}, "deeper than 128"},
		{"a stranger's", func(t *testing.T, image string) {
			must(t, os.WriteFile(image+"/f", nil, 0o600))
		}, Options{Has: func(uint32) bool { return false }}, "which the container does not have"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			image, from, to := dirs(t)
			tt.make(t, image)
			if err := Copy(t.Context(), from, to, tt.o); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

// TestEnds: with its context.
func TestEnds(t *testing.T) {
	image, from, to := dirs(t)
	must(t, os.WriteFile(image+"/f", []byte("x"), 0o600))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := Copy(ctx, from, to, Options{Has: anybody}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want %v", err, context.Canceled)
	}
}
