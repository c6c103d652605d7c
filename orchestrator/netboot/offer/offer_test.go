package offer

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"hardnode.dev/internal/testkit/full"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
)

var firmware = map[string][]byte{"snponly.efi": []byte("efi"), "undionly.kpxe": []byte("bios")}

const card = "52:54:00:00:00:01"

// content is files of releases by digest.
type content map[wire.Digest]string

func (c content) file(text string) host.NetbootFile {
	d := wire.DigestOf(sha256.Sum256([]byte(text)))
	c[d] = text
	return host.NetbootFile{Digest: d, Bytes: int64(len(text))}
}

func (c content) release(v string) host.NetbootRelease {
	return host.NetbootRelease{Release: v, Kernel: c.file("kernel " + v), Initrd: c.file("initrd " + v),
		Cmdline: c.file("panic=10 v=" + v + "\n")}
}

// get gives all bytes from an offset on, or those up to cut and then an error.
func (c content) get(f host.NetbootFile, cut int) func(int64) (io.ReadCloser, error) {
	return func(offset int64) (io.ReadCloser, error) {
		text := c[f.Digest][offset:]
		if cut >= 0 {
			return io.NopCloser(io.MultiReader(strings.NewReader(text[:cut]), broken{})), nil
		}
		return io.NopCloser(strings.NewReader(text)), nil
	}
}

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, errors.New("the connection is gone") }

func opened(t *testing.T, dir string) *Book {
	t.Helper()
	b, err := Open(dir, firmware)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func asked(b *Book, method, path string, header ...string) (int, string) {
	r := httptest.NewRequest(method, path, nil)
	if len(header) == 2 {
		r.Header.Set(header[0], header[1])
	}
	w := httptest.NewRecorder()
	b.ServeHTTP(w, r)
	return w.Code, w.Body.String()
}

// TestBook: a release is served once all of it is here, also after a restart and without the orchestrator; a file that was cut off goes on,
// one that is another is dropped; what no document names any more is removed.
func TestBook(t *testing.T) {
	dir, c := t.TempDir(), content{}
	b := opened(t, dir)
	if _, why := b.Boots(card); !strings.Contains(why, "none of the cards") {
		t.Errorf("before the first document: %q", why)
	}
	doc := host.Netboot{Version: 1, Sum: "1", All: true, Config: "version: 1\n", Release: "1.4.0",
		Releases: []host.NetbootRelease{c.release("1.3.0"), c.release("1.4.0")},
		Machines: []host.NetbootMachine{{Name: "host-9", MACs: []string{"52:54:00:00:00:09"}, Release: "1.3.0"}}}
	if err := b.Replace(doc); err != nil {
		t.Fatal(err)
	}
	lacking := b.Lacking()
	if len(lacking) != 6 || lacking[0] != doc.Releases[1].Kernel {
		t.Fatalf("lacking are %+v, want the usual release first", lacking)
	}
	for path, want := range map[string]string{"/1.4.0/host.ipxe": "host.ipxe?tries=1 ||", "/1.4.0+300/host.ipxe?tries=7": "tries=8 ||",
		"/1.4.0/host.ipxe?tries=500": "given up.\nexit\n"} {
		code, got := asked(b, http.MethodGet, path)
		if folder, why := b.Boots(card); folder != "1.4.0/" || code != 200 || !strings.Contains(got, want) {
			t.Errorf("nothing is here: %q, %q; %s: %d %q", folder, why, path, code, got)
		}
	}
	if code, _ := asked(b, http.MethodGet, "/1.4.0/vmlinuz"); code != 404 {
		t.Errorf("a file that is not here: %d", code)
	}
	if err := b.Put(lacking[0], c.get(lacking[0], 4)); err == nil {
		t.Error("a cut was not said")
	}
	b = opened(t, dir) // the part stays
	at := int64(-1)
	rest := func(offset int64) (io.ReadCloser, error) { at = offset; return c.get(lacking[0], -1)(offset) }
	if err := b.Put(lacking[0], rest); err != nil || at != 4 {
		t.Errorf("it goes on at %d: %v, want 4", at, err)
	}
	lie := func(int64) (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(make([]byte, 100))), nil }
	if err := b.Put(lacking[1], lie); err == nil || !strings.Contains(err.Error(), "dropped") {
		t.Errorf("another file: %v", err)
	}
	short := func(int64) (io.ReadCloser, error) { return io.NopCloser(strings.NewReader("init")), nil }
	if err := b.Put(lacking[1], short); err == nil || !strings.Contains(err.Error(), "ended at byte 4") {
		t.Errorf("a short file: %v", err)
	}
	for _, f := range b.Lacking() {
		if err := b.Put(f, c.get(f, -1)); err != nil {
			t.Fatal(err)
		}
	}
	b = opened(t, dir)
	for who, want := range map[string]string{card: "1.4.0/", "52:54:00:00:00:09": "1.3.0/"} {
		if folder, why := b.Boots(who); folder != want || why != "" {
			t.Errorf("%s boots %q, %q, want %q", who, folder, why, want)
		}
	}
	for path, want := range map[string]string{"/1.4.0/vmlinuz": "kernel 1.4.0", "/1.3.0/host.initrd": "initrd 1.3.0",
		"/1.4.0/hardnode.yaml": "version: 1\n", "/snponly.efi": "efi"} {
		if code, got := asked(b, http.MethodGet, path); code != 200 || got != want {
			t.Errorf("%s: %d %q, want %q", path, code, got, want)
		}
	}
	if code, got := asked(b, http.MethodGet, "/1.4.0/host.ipxe"); code != 200 ||
		!strings.Contains(got, "initrd=host.initrd console=tty0 console=ttyS0,115200n8 panic=10 v=1.4.0 hardnode.config=${config} ||") {
		t.Errorf("the script: %d %s", code, got)
	}
	if code, got := asked(b, http.MethodGet, "/1.4.0/vmlinuz", "Range", "bytes=7-"); code != 206 || got != "1.4.0" {
		t.Errorf("a range: %d %q", code, got)
	}
	for _, path := range []string{"/", "/1.4.0", "/1.4.0/", "/1.5.0/vmlinuz", "/1.4.0/../netboot.json", "/netboot.json",
		"/1.4.0/infra.initrd",
		"/files/" + lacking[0].Digest.Hex()} {
		if code, _ := asked(b, http.MethodGet, path); code != 404 {
			t.Errorf("%s: %d, want 404", path, code)
		}
	}
	if code, _ := asked(b, http.MethodPost, "/1.4.0/vmlinuz"); code != 405 {
		t.Errorf("a POST: %d", code)
	}
	doc.Sum, doc.Releases, doc.Machines = "2", doc.Releases[1:], nil
	if err := b.Replace(doc); err != nil {
		t.Fatal(err)
	}
	if entries, err := os.ReadDir(b.files()); err != nil || len(entries) != 3 {
		t.Errorf("%d files are left, %v, want 3", len(entries), err)
	}
	if code, _ := asked(b, http.MethodGet, "/1.3.0/vmlinuz"); code != 404 || b.Sum() != "2" {
		t.Errorf("the release that is no longer named: %d", code)
	}
	if err := os.Truncate(b.path(doc.Releases[0].Kernel.Digest), 3); err != nil { // as a power cut leaves it
		t.Fatal(err)
	}
	if b = opened(t, dir); len(b.Lacking()) != 1 {
		t.Errorf("a short file is not lacking: %s", fmt.Sprint(b.Lacking()))
	}
}

// On a full disk what is whole goes on being served; a file that does not fit comes once there is room, from where it was, and so is the
// document kept, which is asked for again until then.
func TestFull(t *testing.T) {
	disk := full.Disk(t, 256)
	b, files := opened(t, disk), content{}
	old, next := files.release("1.0.0"), files.release("2.0.0")
	next.Initrd = files.file(strings.Repeat("initrd", 8192))
	put := func(r host.NetbootRelease) (err error) {
		for _, f := range r.Files() {
			err = errors.Join(err, b.Put(f, files.get(f, -1)))
		}
		return err
	}
	doc := host.Netboot{Version: 1, Sum: "one", Release: "1.0.0", Releases: []host.NetbootRelease{old}, All: true}
	if err := errors.Join(b.Replace(doc), put(old)); err != nil {
		t.Fatal(err)
	}
	free := full.Fill(t, disk, 8)
	if err := b.Replace(host.Netboot{Version: 1, Sum: "two", Release: "1.0.0", Releases: []host.NetbootRelease{old, next}, All: true,
		Config: strings.Repeat("# a long one\n", 2048)}); !errors.Is(err, unix.ENOSPC) {
		t.Errorf("a document on a full disk: %v", err)
	}
	if b.Sum() != "" {
		t.Errorf("the document is not kept, and its sum is told as %q: it would not come again", b.Sum())
	}
	if err := put(next); !errors.Is(err, unix.ENOSPC) {
		t.Errorf("a file on a full disk: %v", err)
	}
	if folder, why := b.Boots(card); folder != "1.0.0/" {
		t.Errorf("a machine boots from %q: %s", folder, why)
	}
	free()
	if err := errors.Join(b.Replace(host.Netboot{Version: 1, Sum: "two", Release: "2.0.0", All: true, Config: "version: 1\n",
		Releases: []host.NetbootRelease{old, next}}), put(next)); err != nil {
		t.Error(err)
	}
	if folder, why := opened(t, disk).Boots(card); folder != "2.0.0/" || b.Sum() != "two" {
		t.Errorf("with room a machine boots from %q: %s", folder, why)
	}
}

// TestTried: a machine that tries a release is led to a folder that says so, whose script gives its kernel the time that it has.
func TestTried(t *testing.T) {
	b, c := opened(t, t.TempDir()), content{}
	doc := host.Netboot{Version: 1, Sum: "1", All: true, Config: "version: 1\n", Release: "1.4.0",
		Releases: []host.NetbootRelease{c.release("1.4.0")},
		Machines: []host.NetbootMachine{{Name: "host-9", MACs: []string{"52:54:00:00:00:09"}, Release: "1.4.0", TrySec: 300}}}
	if err := b.Replace(doc); err != nil {
		t.Fatal(err)
	}
	for _, f := range b.Lacking() {
		if err := b.Put(f, c.get(f, -1)); err != nil {
			t.Fatal(err)
		}
	}
	if folder, why := b.Boots("52:54:00:00:00:09"); folder != "1.4.0+300/" {
		t.Errorf("it is led to %q, %q", folder, why)
	}
	for path, want := range map[string]string{"/1.4.0/host.ipxe": "v=1.4.0 hardnode.config",
		"/1.4.0+300/host.ipxe": "v=1.4.0 hardnode.trial=300 ",
		"/1.4.0+300/vmlinuz":   "kernel 1.4.0", "/1.4.0+300/hardnode.yaml": "version: 1"} {
		if code, text := asked(b, http.MethodGet, path); code != http.StatusOK || !strings.Contains(text, want) {
			t.Errorf("%s: %d, %q, want %q", path, code, text, want)
		}
	}
	for _, path := range []string{"/1.4.0+/vmlinuz", "/1.4.0+x/vmlinuz", "/1.4.0+-1/vmlinuz", "/1.4.0+99999999/vmlinuz",
		"/1.5.0+300/vmlinuz"} {
		if code, _ := asked(b, http.MethodGet, path); code != http.StatusNotFound {
			t.Errorf("%s: %d", path, code)
		}
	}
}
