package fetch

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"hardnode.dev/internal/wire/host"
)

// TestFromRelease: the image of a component comes from a release, goes on after a break, is verified, and is never asked of a registry.
func TestFromRelease(t *testing.T) {
	big := bytes.Repeat(content, 8) // more than two ranges
	img := image(big)
	img.Name = "jelastic/orchestrator"
	s := registry(t, func(http.ResponseWriter, *http.Request) { t.Error("the registry was asked") })
	gone := errors.New("the orchestrator is away")
	served, most := big, 0
	fail := func(at int64) bool { return at >= host.MaxRange }
	s.Release = func(_ context.Context, i host.Image) (func(context.Context, int64, int) ([]byte, error), error) {
		if i.Digest != img.Digest {
			return nil, errors.New("no release has it")
		}
		return func(_ context.Context, at int64, n int) ([]byte, error) {
			if fail(at) {
				return nil, gone
			}
			most++
			return served[at : at+int64(n)], nil
		}, nil
	}
	if _, err := s.Ensure(t.Context(), img); !errors.Is(err, gone) {
		t.Fatalf("broken off: %v", err)
	}
	fail = func(at int64) bool { return at < host.MaxRange }
	p, err := s.Ensure(t.Context(), img)
	if err != nil {
		t.Fatalf("it did not go on where it was: %v", err)
	}
	if raw, err := os.ReadFile(p); err != nil || !bytes.Equal(raw, big) || most != 3 {
		t.Errorf("%d bytes, %v, %d ranges", len(raw), err, most)
	}
	if err := os.Remove(p); err != nil {
		t.Fatal(err)
	}
	fail = func(int64) bool { return false }
	served = bytes.Replace(big, big[100:110], []byte("0123456789"), 1)
	var wrong *WrongError
	if _, err := s.Ensure(t.Context(), img); !errors.As(err, &wrong) || len(left(t, s)) != 0 {
		t.Errorf("an altered image: %v, left %v", err, left(t, s))
	}
	served = big
	if err := os.WriteFile(filepath.Join(s.Dir, img.Digest.Hex()+".part"), make([]byte, len(big)), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Ensure(t.Context(), img); err != nil {
		t.Errorf("behind a damaged part: %v", err)
	}
	other := image(content)
	other.Name = "jelastic/registry"
	if _, err := s.Ensure(t.Context(), other); err == nil || !strings.Contains(err.Error(), "no release has it") {
		t.Errorf("an image that no release has: %v", err)
	}
	s.Release = nil
	if _, err := s.Ensure(t.Context(), other); err == nil || !strings.Contains(err.Error(), "knows no releases") {
		t.Errorf("without releases: %v", err)
	}
}
