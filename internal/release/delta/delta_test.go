package delta_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"hardnode.dev/internal/release/block"
	"hardnode.dev/internal/release/delta"
)

func noise(n int, seed uint64) []byte {
	r := rand.New(rand.NewPCG(seed, 1))
	out := make([]byte, n)
	for i := range out {
		out[i] = byte(r.Uint32())
	}
	return out
}

func from(file []byte, cut *int) delta.Get {
	return func(_ context.Context, offset int64, length int) ([]byte, error) {
		if *cut--; *cut < 0 {
			return nil, errors.New("the network is gone")
		}
		return bytes.Clone(file[offset : offset+int64(length)]), nil
	}
}

func TestFetch(t *testing.T) {
	old := noise(8<<20, 1)
	wanted := append(append(bytes.Clone(old[:3<<20]), noise(200<<10, 2)...), old[3<<20:]...)
	x, err := block.Make(bytes.NewReader(wanted))
	if err != nil {
		t.Fatal(err)
	}
	out, err := os.Create(filepath.Join(t.TempDir(), "out"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	fetch := func(cut int, seeds ...io.Reader) (delta.Stats, error) {
		return delta.Fetch(t.Context(), x, out, seeds, from(wanted, &cut))
	}
	whole := func() {
		t.Helper()
		got, err := os.ReadFile(out.Name())
		if err != nil || !bytes.Equal(got, wanted) {
			t.Errorf("the file is another one: %d bytes, want %d: %v", len(got), len(wanted), err)
		}
	}
	s, err := fetch(5)
	if err == nil || s.Asked != 5 {
		t.Fatalf("the network went after 5 requests: %+v %v", s, err)
	}
	again, err := fetch(1000)
	if err != nil || again.Kept != s.Fetched || again.Kept+again.Fetched != int64(len(wanted)) {
		t.Errorf("after the cut: %+v %v", again, err)
	}
	whole()
	if err := out.Truncate(0); err != nil {
		t.Fatal(err)
	}
	s, err = fetch(1000, bytes.NewReader(noise(1<<20, 9)), bytes.NewReader(old))
	if err != nil || s.Fetched > 200<<10+2*block.Most || s.Seeded+s.Fetched != int64(len(wanted)) {
		t.Errorf("with a seed: %+v %v", s, err)
	}
	whole()
	if err := out.Truncate(10 << 20); err != nil { // longer than the file
		t.Fatal(err)
	}
	if s, err = fetch(0); err != nil || s.Kept != int64(len(wanted)) {
		t.Errorf("all was there: %+v %v", s, err)
	}
	whole()
	for what, get := range map[string]delta.Get{
		"altered": func(_ context.Context, _ int64, length int) ([]byte, error) { return noise(length, 3), nil },
		"short":   func(context.Context, int64, int) ([]byte, error) { return noise(10, 3), nil },
		"long":    func(_ context.Context, _ int64, length int) ([]byte, error) { return noise(length+1, 3), nil },
	} {
		if err := out.Truncate(0); err != nil {
			t.Fatal(err)
		}
		if _, err := delta.Fetch(t.Context(), x, out, nil, get); err == nil {
			t.Errorf("%s: is taken", what)
		} else {
			t.Logf("%s: %v", what, err)
		}
	}
}
