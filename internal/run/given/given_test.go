package given_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"hardnode.dev/internal/run/given"
)

func TestRead(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	for name, content := range map[string]string{"empty": "", "fits": "0123456789", "longer": "0123456789x"} {
		if err := os.WriteFile(at(name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct{ name, want, err string }{
		{at("empty"), "", ""},
		{at("fits"), "0123456789", ""},
		{at("longer"), "", "more than 10 bytes"},
		{at("missing"), "", "no such file"},
		{dir, "", "is a directory"},
		{"/dev/zero", "", "more than 10 bytes"},
		{"/dev/null", "", ""},
	} {
		got, err := given.Read(t.Context(), c.name, 10)
		if string(got) != c.want || (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
			t.Errorf("%s: %q, %v, want %q, %q", c.name, got, err, c.want, c.err)
		}
		if err != nil && !strings.Contains(err.Error(), c.name) {
			t.Errorf("%v does not name %s", err, c.name)
		}
	}
	if got, err := given.From(t.Context(), "stdin", strings.NewReader("0123456789x"), 10); err == nil ||
		!strings.Contains(err.Error(), "read stdin: it has more than 10") {
		t.Errorf("%q, %v", got, err)
	}
}

// TestReadEnds: a pipe that nobody writes to is left with the command; one that is written to is read.
func TestReadEnds(t *testing.T) {
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancelCause(t.Context())
	stop(errors.New("asked to end"))
	if _, err := given.Read(ctx, pipe, 10); err == nil || !strings.Contains(err.Error(), pipe+": asked to end") {
		t.Errorf("a pipe that nobody writes to: %v", err)
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	go func() {
		w.WriteString("token")
		w.Close()
	}()
	if got, err := given.From(t.Context(), "pipe", r, 10); err != nil || !bytes.Equal(got, []byte("token")) {
		t.Errorf("%q, %v", got, err)
	}
}
