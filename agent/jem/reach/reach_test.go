package reach

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"hardnode.dev/internal/wire/jem"
)

func TestAnswers(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	resolv := filepath.Join(t.TempDir(), "resolv.conf")
	for _, c := range []struct{ text, why string }{
		{"search x\nnameserver 127.0.0.1\nnameserver 127.0.0.9\n", ""},
		{"nameserver 127.0.0.9\nnameserver 127.0.0.1\n", "the host does not answer at 127.0.0.9 within 300ms: dial tcp"},
		{"search x\n", "names no name server"},
	} {
		if err := os.WriteFile(resolv, []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		within := time.Minute
		if c.why != "" {
			within = 300 * time.Millisecond
		}
		err := answers(t.Context(), resolv, port, within)
		var e *jem.Error
		if c.why == "" && err != nil || c.why != "" && (!errors.As(err, &e) || !strings.Contains(e.Reason, c.why)) {
			t.Errorf("%q: %v, want %q", c.text, err, c.why)
		}
	}
}
