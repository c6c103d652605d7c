package fetch

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
)

var content = func() []byte {
	b := make([]byte, 300_000)
	r := rand.NewChaCha8([32]byte{1})
	r.Read(b)
	return b
}()

func image(b []byte) host.Image {
	return host.Image{Name: "nginx", Digest: wire.DigestOf(sha256.Sum256(b)), Bytes: int64(len(b))}
}

// registry serves h over TLS and returns a store that fetches from it.
func registry(t *testing.T, h http.HandlerFunc) *Store {
	t.Helper()
	srv := httptest.NewTLSServer(h)
	t.Cleanup(srv.Close)
	return &Store{Dir: t.TempDir(), Client: srv.Client(),
		Registries: func() []string { return []string{strings.TrimPrefix(srv.URL, "https://")} }}
}

func serve(b []byte) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("ETag", `"`+string(image(content).Digest)+`"`)
		http.ServeContent(w, r, "x.erofs", time.Time{}, bytes.NewReader(b))
	}
}

func left(t *testing.T, s *Store) []string {
	t.Helper()
	entries, err := os.ReadDir(s.Dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func TestEnsure(t *testing.T) {
	img := image(content)
	var asked atomic.Int32
	s := registry(t, func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		if r.URL.Path != "/images/"+string(img.Digest) {
			t.Errorf("asked for %s", r.URL.Path)
		}
		serve(content)(w, r)
	})
	var wg sync.WaitGroup
	for range 5 {
		wg.Go(func() {
			p, err := s.Ensure(context.Background(), img)
			if err != nil {
				t.Error(err)
				return
			}
			if b, _ := os.ReadFile(p); !bytes.Equal(b, content) {
				t.Error("the file is not the image")
			}
		})
	}
	wg.Wait()
	if n := asked.Load(); n != 1 {
		t.Errorf("five callers made %d transfers, want 1", n)
	}
	if got := left(t, s); len(got) != 1 {
		t.Errorf("left %v, want the image only", got)
	}
}

func TestWrongContentLeavesNothing(t *testing.T) {
	flipped := bytes.Clone(content)
	flipped[200_000] ^= 1
	for name, body := range map[string][]byte{"another digest": flipped, "longer": append(bytes.Clone(content), 'x')} {
		t.Run(name, func(t *testing.T) {
			s := registry(t, serve(body))
			_, err := s.Ensure(context.Background(), image(content))
			var wrong *WrongError
			if !errors.As(err, &wrong) || !strings.Contains(err.Error(), string(image(content).Digest)) ||
				!strings.Contains(err.Error(), "push the template again") {
				t.Errorf("got %v, want a WrongError that names the digest and the next step", err)
			}
			if got := left(t, s); len(got) != 0 {
				t.Errorf("left %v, want nothing", got)
			}
			if _, ok := s.Path(image(content).Digest); ok {
				t.Error("a wrong image is offered")
			}
		})
	}
}

func TestBrokenTransferIsResumed(t *testing.T) {
	var ranges []string
	s := registry(t, func(w http.ResponseWriter, r *http.Request) {
		ranges = append(ranges, r.Header.Get("Range"))
		if len(ranges) == 1 {
			w.Header().Set("Content-Length", strconv.Itoa(len(content)))
			w.Write(content[:100_000])
			panic(http.ErrAbortHandler)
		}
		serve(content)(w, r)
	})
	if _, err := s.Ensure(context.Background(), image(content)); err == nil {
		t.Fatal("a broken transfer gave no error")
	}
	p, err := s.Ensure(context.Background(), image(content))
	if err != nil {
		t.Fatal(err)
	}
	if b, _ := os.ReadFile(p); !bytes.Equal(b, content) {
		t.Error("the resumed file is not the image")
	}
	if len(ranges) != 2 || !strings.HasPrefix(ranges[1], "bytes=") || ranges[1] == "bytes=0-" {
		t.Errorf("ranges asked for: %q, want a second one behind the first part", ranges)
	}
}

func TestDamagedPartIsDropped(t *testing.T) {
	s := registry(t, serve(content))
	os.WriteFile(filepath.Join(s.Dir, image(content).Digest.Hex()+".part"), []byte("rubbish"), 0o600)
	if _, err := s.Ensure(context.Background(), image(content)); err == nil {
		t.Fatal("rubbish plus the rest was accepted")
	}
	if _, err := s.Ensure(context.Background(), image(content)); err != nil {
		t.Errorf("the next try: %v", err)
	}
}

func TestStalledTransferEnds(t *testing.T) {
	s := registry(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", strconv.Itoa(len(content)))
		w.Write(content[:10])
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	})
	s.Stall = 300 * time.Millisecond
	_, err := s.Ensure(context.Background(), image(content))
	if err == nil || !strings.Contains(err.Error(), "nothing came for") {
		t.Errorf("got %v, want an error that says nothing came", err)
	}
}

// TestDrippingRegistry: one that sends a byte now and then, so that it is never silent, does not keep a place for ever; another goes on
// where it was left. One that is slow and not that slow is waited for.
func TestDrippingRegistry(t *testing.T) {
	var resumed atomic.Int64
	second := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var from int64
		fmt.Sscanf(r.Header.Get("Range"), "bytes=%d-", &from)
		resumed.Store(from)
		serve(content)(w, r)
	}))
	t.Cleanup(second.Close)
	paced := func(size int, every time.Duration) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", strconv.Itoa(len(content)))
			for at := 0; at < len(content); at += size {
				w.Write(content[at:min(at+size, len(content))])
				w.(http.Flusher).Flush()
				select {
				case <-time.After(every):
				case <-r.Context().Done():
					return
				}
			}
		}
	}
	s := registry(t, paced(1, 20*time.Millisecond))
	s.Window, s.Client = 500*time.Millisecond, second.Client() // the test servers share their certificate
	first := s.Registries()[0]
	s.Registries = func() []string { return []string{first} }
	if _, err := s.Ensure(t.Context(), image(content)); err == nil || !strings.Contains(err.Error(), "bytes came in 500ms") {
		t.Fatalf("got %v, want an error that says how little came", err)
	}
	s.Registries = func() []string { return []string{first, strings.TrimPrefix(second.URL, "https://")} }
	if p, err := s.Ensure(t.Context(), image(content)); err != nil {
		t.Error(err)
	} else if b, _ := os.ReadFile(p); !bytes.Equal(b, content) {
		t.Error("the file is not the image")
	}
	if resumed.Load() < 2 {
		t.Errorf("the second registry was asked from byte %d on: what had come was lost", resumed.Load())
	}
	slow := registry(t, paced(20_000, 200*time.Millisecond)) // 10 times the floor, over several windows
	slow.Window = time.Second
	if _, err := slow.Ensure(t.Context(), image(content)); err != nil {
		t.Errorf("a slow registry: %v", err)
	}
}

func TestRefusals(t *testing.T) {
	tests := []struct {
		name, want string
		handler    http.HandlerFunc
	}{
		{"not there", "does not have it", func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no", http.StatusNotFound) }},
		{"denied", "not yours", func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "not yours", http.StatusForbidden) }},
		{"short", "unexpected EOF", serve(content[:10])},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := registry(t, tt.handler)
			if _, err := s.Ensure(context.Background(), image(content)); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want an error with %q", err, tt.want)
			}
		})
	}
	s := registry(t, serve(content))
	huge := image(content)
	huge.Bytes = 1 << 60
	if _, err := s.Ensure(context.Background(), huge); err == nil || !strings.Contains(err.Error(), "free") {
		t.Errorf("too large for the disk: got %v", err)
	}
	s.Registries = nil
	if _, err := s.Ensure(context.Background(), image(content)); err == nil || !strings.Contains(err.Error(), "no registry") {
		t.Errorf("no registry: got %v", err)
	}
}

func TestBundledImage(t *testing.T) {
	img := image(content)
	s := &Store{Dir: t.TempDir(), BootDir: t.TempDir()}
	file := filepath.Join(s.BootDir, img.Digest.Hex()+".erofs")
	os.WriteFile(file, content[1:], 0o444)
	if _, err := s.Ensure(context.Background(), img); err == nil || len(left(t, s)) != 0 {
		t.Errorf("damaged medium: got %v, left %v", err, left(t, s))
	}
	os.Remove(file) // it can't be written
	os.WriteFile(file, content, 0o444)
	p, err := s.Ensure(context.Background(), img)
	if err != nil {
		t.Fatal(err)
	}
	if b, _ := os.ReadFile(p); !bytes.Equal(b, content) {
		t.Error("the copy is not the image")
	}
}

func TestCollect(t *testing.T) {
	s := registry(t, serve(content))
	keepMe := image(content)
	if _, err := s.Ensure(context.Background(), keepMe); err != nil {
		t.Fatal(err)
	}
	other := image([]byte("other"))
	os.WriteFile(filepath.Join(s.Dir, other.Digest.Hex()+".erofs"), nil, 0o444)
	os.WriteFile(filepath.Join(s.Dir, "notes.txt"), nil, 0o444)
	gone, err := s.Collect(map[wire.Digest]bool{keepMe.Digest: true})
	if err != nil || len(gone) != 1 || gone[0] != other.Digest {
		t.Errorf("got %v, %v; want %s only", gone, err, other.Digest)
	}
	if got := left(t, s); len(got) != 2 {
		t.Errorf("left %v, want the used image and the stranger's file", got)
	}
}

// What an interrupted transfer left is on the disk already: it can't refuse itself.
func TestRoomCountsAPartOnce(t *testing.T) {
	img := host.Image{Bytes: 1 << 30}
	for _, c := range []struct {
		name       string
		free, part int64
		want       bool
	}{
		{"nothing left", 1<<30 + reserve, 0, true},
		{"one byte short", 1<<30 + reserve - 1, 0, false},
		{"most of it is here", 100<<20 + reserve, 1<<30 - 100<<20, true},
		{"more is here than it has", 100, 2 << 30, false},
	} {
		if got := withPart(c.free, c.part, img) >= img.Bytes+reserve; got != c.want {
			t.Errorf("%s: got %v", c.name, got)
		}
	}
}

// A transfer that was killed before its file got its name is not made again; what is too long or damaged is dropped.
func TestPartThatIsWhole(t *testing.T) {
	img := image(content)
	for name, c := range map[string]struct {
		part  []byte
		asked int32
	}{
		"whole": {content, 0}, "too long": {append(bytes.Clone(content), 'x'), 1},
		"another of that length": {make([]byte, len(content)), 1},
	} {
		t.Run(name, func(t *testing.T) {
			var asked atomic.Int32
			s := registry(t, func(w http.ResponseWriter, r *http.Request) { asked.Add(1); serve(content)(w, r) })
			if err := os.WriteFile(filepath.Join(s.Dir, img.Digest.Hex()+".part"), c.part, 0o600); err != nil {
				t.Fatal(err)
			}
			p, err := s.Ensure(context.Background(), img)
			if err != nil {
				t.Fatal(err)
			}
			if b, _ := os.ReadFile(p); !bytes.Equal(b, content) || asked.Load() != c.asked {
				t.Errorf("%d bytes after %d transfers, want %d", len(b), asked.Load(), c.asked)
			}
		})
	}
}

// A part that is damaged is not taken for a registry's fault: that would be final.
func TestDamagedPartIsNobodysFault(t *testing.T) {
	s := registry(t, serve(content))
	os.WriteFile(filepath.Join(s.Dir, image(content).Digest.Hex()+".part"), []byte("rubbish"), 0o600)
	_, err := s.Ensure(context.Background(), image(content))
	var wrong *WrongError
	if err == nil || errors.As(err, &wrong) || !strings.Contains(err.Error(), "was dropped") {
		t.Errorf("got %v", err)
	}
}

// A boot medium that can't be read is one source that is gone: the registry has the image too.
func TestDamagedMediumFallsBack(t *testing.T) {
	img := image(content)
	for name, spoil := range map[string]func(file string) error{
		"other content": func(file string) error { return os.WriteFile(file, content[1:], 0o444) },
		"a directory":   func(file string) error { return os.Mkdir(file, 0o755) },
		"too long":      func(file string) error { return os.WriteFile(file, append(bytes.Clone(content), 'x'), 0o444) },
	} {
		t.Run(name, func(t *testing.T) {
			s := registry(t, serve(content))
			s.BootDir = t.TempDir()
			if err := spoil(filepath.Join(s.BootDir, img.Digest.Hex()+".erofs")); err != nil {
				t.Fatal(err)
			}
			p, err := s.Ensure(context.Background(), img)
			if err != nil {
				t.Fatal(err)
			}
			if b, _ := os.ReadFile(p); !bytes.Equal(b, content) {
				t.Error("the file is not the image")
			}
			s.Registries = nil
			os.Remove(p)
			if _, err := s.Ensure(context.Background(), img); err == nil || !strings.Contains(err.Error(), "boot medium") ||
				errors.As(err, new(*WrongError)) {
				t.Errorf("neither has it: %v", err)
			}
		})
	}
}
