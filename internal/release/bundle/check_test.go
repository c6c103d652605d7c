package bundle_test

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"hardnode.dev/internal/release/bundle"
	"hardnode.dev/internal/release/trust"
	"hardnode.dev/internal/testkit/released"
)

var now = time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)

func TestCheck(t *testing.T) {
	p := released.Both(t, "cl-00000000000000aa", now.Add(time.Hour))
	p.Release(t, "1.0.0", "host.efi", "a machine's image")
	check := func(raw []byte, kept trust.State, at time.Time) (trust.State, int, error) {
		got := 0
		_, next, err := bundle.Check(t.Context(), bytes.NewReader(raw), p.Anchors(), kept, at, func(f trust.Target, r io.Reader) error {
			text, err := io.ReadAll(r)
			if err == nil && string(text) != p.Content[f.Path] {
				t.Errorf("%s reads %q", f.Path, text)
			}
			got++
			return err
		})
		return next, got, err
	}
	old := p.Bundle(t, p.Targets()...)
	kept, n, err := check(old, trust.State{}, now)
	if err != nil || n != 2 {
		t.Fatalf("a good bundle: %d files, %v", n, err)
	}
	refused := func(what string, raw []byte, kept trust.State, at time.Time, kind trust.Kind) {
		t.Helper()
		_, _, err := check(raw, kept, at)
		if !errors.Is(err, &trust.Refusal{Kind: kind}) {
			t.Errorf("%s: got %v, want a refusal of kind %q", what, err, kind)
		}
		t.Logf("%s: %v", what, err)
	}
	refused("altered content", bytes.Replace(old, []byte("a machine's image"), []byte("a stranger's code"), 1), trust.State{}, now,
		trust.Altered)
	refused("a file held back", p.Bundle(t, p.Targets()[:1]...), trust.State{}, now, trust.Unavailable)
	refused("a file twice", p.Bundle(t, append(p.Targets(), p.Targets()[0])...), trust.State{}, now, trust.Disagree)
	refused("after its end", old, trust.State{}, now.Add(2*time.Hour), trust.Expired)
	p.Release(t, "1.1.0", "host.efi", "another")
	if kept, n, err = check(p.Bundle(t, p.Targets()...), kept, now); err != nil || n != 4 {
		t.Fatalf("the next bundle: %d files, %v", n, err)
	}
	refused("the bundle before", old, kept, now, trust.Older)
	if _, _, err := check([]byte(strings.Repeat("no bundle ", 1000)), trust.State{}, now); err == nil {
		t.Error("any file is a bundle")
	}
}
