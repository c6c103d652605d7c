package catalog

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
)

// failing is a file on a disk that is full, or that breaks, after so many bytes.
type failing struct {
	diskFile
	room int64
	err  error
	at   string // which call fails
}

func (f *failing) WriteAt(b []byte, at int64) (int, error) {
	if f.at == "write" && at+int64(len(b)) > f.room {
		return 0, f.err
	}
	return f.diskFile.WriteAt(b, at)
}

func (f *failing) Sync() error {
	if f.at == "sync" {
		return f.err
	}
	return f.diskFile.Sync()
}

func (f *failing) reserve(size int64) error {
	if f.at == "reserve" {
		return f.err
	}
	return f.Truncate(size)
}

func names(t *testing.T, dir string) string {
	t.Helper()
	list, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, e := range list {
		out = append(out, e.Name())
	}
	return strings.Join(out, " ")
}

func write(text string) func(Image) error {
	return func(w Image) error {
		_, err := w.WriteAt([]byte(text), 0)
		return err
	}
}

func record(name string, d wire.Digest, bytes int64) host.Template {
	return host.Template{Image: host.Image{Name: wire.TemplateName(name), Digest: d, Bytes: bytes}, OCI: d, Profile: host.ProfileApp,
		Process: host.Process{Argv: []string{"x"}}}
}

func TestBuildAndReopen(t *testing.T) {
	dir := t.TempDir()
	c, err := Open(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	d, err := c.Build(context.Background(), 8, write("hello"))
	if err != nil {
		t.Fatal(err)
	}
	if want := wire.DigestOf(sha256.Sum256([]byte("hello\x00\x00\x00"))); d != want {
		t.Errorf("got digest %s, want %s", d, want)
	}
	for _, n := range []string{"b:1", "a:1"} {
		if err := c.Put(record(n, d, 8)); err != nil {
			t.Fatal(err)
		}
	}
	again, err := Open(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	if l := again.List(); len(l) != 2 || l[0].Name != "a:1" || l[1].Name != "b:1" {
		t.Errorf("got list %v", l)
	}
	f, err := again.Image(d)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if raw, _ := io.ReadAll(f); string(raw) != "hello\x00\x00\x00" {
		t.Errorf("got %q", raw)
	}
	if _, ok := again.ByOCI(d); !ok {
		t.Error("not found by its manifest")
	}
}

func TestImageRefusesOtherNames(t *testing.T) {
	c, err := Open(t.TempDir(), nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range []wire.Digest{"", "sha256:", "sha256:../../etc/passwd", "catalog.json",
		wire.Digest("sha256:" + strings.Repeat("0", 64))} {
		if _, err := c.Image(d); !errors.Is(err, ErrNone) {
			t.Errorf("%q: got %v, want ErrNone", d, err)
		}
	}
}

func TestOpenDropsWhatIsMissing(t *testing.T) {
	dir := t.TempDir()
	c, err := Open(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	var ds []wire.Digest
	for _, text := range []string{"one", "two", "three"} {
		d, err := c.Build(context.Background(), int64(len(text)), write(text))
		if err != nil {
			t.Fatal(err)
		}
		ds = append(ds, d)
		if err := c.Put(record(text+":1", d, int64(len(text)))); err != nil {
			t.Fatal(err)
		}
	}
	os.Remove(c.path(ds[0]))
	os.Truncate(c.path(ds[1]), 1)
	os.WriteFile(filepath.Join(dir, tempStart+"123"), []byte("half"), 0o600)
	var log bytes.Buffer
	again, err := Open(dir, slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	if l := again.List(); len(l) != 1 || l[0].Name != "three:1" {
		t.Errorf("got list %v, want three:1 only", l)
	}
	for _, want := range []string{"image is missing", "one:1", "another size", "two:1", "interrupted import"} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("the log says nothing of %q:\n%s", want, log.String())
		}
	}
	if strings.Contains(names(t, dir), tempStart) {
		t.Errorf("temporary file left: %s", names(t, dir))
	}
}

// TestFaults lets the disk fail at every step: an error that says what it was, and nothing left over.
func TestFaults(t *testing.T) {
	for _, c := range []struct {
		at   string
		err  error
		full bool
	}{
		{"reserve", syscall.ENOSPC, true}, {"reserve", syscall.EDQUOT, true}, {"write", syscall.ENOSPC, true},
		{"write", syscall.EIO, false}, {"sync", syscall.EDQUOT, true}, {"sync", syscall.EIO, false},
	} {
		dir := t.TempDir()
		cat, err := Open(dir, nil)
		if err != nil {
			t.Fatal(err)
		}
		cat.create = func(dir string) (file, error) {
			f, err := createTemp(dir)
			if err != nil {
				return nil, err
			}
			return &failing{diskFile: f.(diskFile), room: 4, err: c.err, at: c.at}, nil
		}
		_, err = cat.Build(context.Background(), 8, write("hello"))
		if !errors.Is(err, c.err) || errors.Is(err, ErrFull) != c.full {
			t.Errorf("%s, %v: got %v, ErrFull %v", c.at, c.err, err, errors.Is(err, ErrFull))
		}
		if got := names(t, dir); got != "" {
			t.Errorf("%s, %v: left %q", c.at, c.err, got)
		}
	}
}

func TestBuildStops(t *testing.T) {
	dir := t.TempDir()
	c, err := Open(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := c.Build(ctx, 8, write("hello")); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want it to be canceled", err)
	}
	if got := names(t, dir); got != "" {
		t.Errorf("left %q", got)
	}
}

// TestCollect: only an image that no template names, that was not just built and that nobody needs goes.
func TestCollect(t *testing.T) {
	dir := t.TempDir()
	c, err := Open(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	build := func(text string) wire.Digest {
		d, err := c.Build(context.Background(), int64(len(text)), write(text))
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	named, fresh, needed, gone := build("named"), build("fresh"), build("needed"), build("gone!!")
	for name, d := range map[string]wire.Digest{"a:1": named, "b:1": needed, "c:1": gone, "c:2": gone} {
		if err := c.Put(record(name, d, 5)); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []wire.TemplateName{"b:1", "c:1"} {
		if _, ok, err := c.Remove(name); !ok || err != nil {
			t.Errorf("remove %s: %v, %v", name, ok, err)
		}
	}
	if _, ok, err := c.Remove("c:1"); ok || err != nil {
		t.Errorf("removed twice: %v, %v", ok, err)
	}
	may := func(d wire.Digest) bool { return d != needed }
	if n, bytes, later, err := c.Collect(may); n != 0 || bytes != 0 || later != int64(len("fresh")+len("needed")) || err != nil {
		t.Errorf("got %d images, %d bytes, %d later, %v", n, bytes, later, err)
	}
	c.Remove("c:2")
	if n, bytes, _, err := c.Collect(may); n != 1 || bytes != int64(len("gone!!")) || err != nil {
		t.Errorf("got %d images, %d bytes, %v", n, bytes, err)
	}
	for d, want := range map[wire.Digest]error{named: nil, fresh: nil, needed: nil, gone: ErrNone} {
		f, err := c.Image(d)
		if !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", d, err, want)
		}
		f.Close()
	}
	if err := c.Put(record("c:3", gone, 6)); !errors.Is(err, ErrNone) {
		t.Errorf("a template without its image: %v", err)
	}
	if again, err := Open(dir, nil); err != nil || len(again.List()) != 1 {
		t.Errorf("after a restart: %v, %v", again.List(), err)
	}
}
