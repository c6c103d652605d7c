package backup

import (
	"bytes"
	"io"
	"log/slog"
	"os"
	"testing"
)

// TestSecret: it stays the same; where it can't be read there is another one.
func TestSecret(t *testing.T) {
	k := &Keeper{Data: t.TempDir(), Log: slog.New(slog.NewTextHandler(io.Discard, nil))}
	one, err := k.secret()
	if err != nil || len(one) != 32 {
		t.Fatalf("%x, %v", one, err)
	}
	if again, err := k.secret(); err != nil || !bytes.Equal(again, one) {
		t.Errorf("%x and %x, %v", one, again, err)
	}
	if err := os.WriteFile(k.doc().Path, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if other, err := k.secret(); err != nil || len(other) != 32 || bytes.Equal(other, one) {
		t.Errorf("%x and %x, %v", one, other, err)
	}
}
