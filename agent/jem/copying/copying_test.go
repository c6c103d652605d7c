package copying

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestRun: one end's stream is the other's; what goes wrong is said in one line.
func TestRun(t *testing.T) {
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "site/sub"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "site/sub/a"), []byte("A"), 0o600); err != nil {
		t.Fatal(err)
	}
	var stream, said bytes.Buffer
	if code := Run([]string{"send", dir + "/site", "site"}, nil, &stream, &said); code != 0 || said.Len() > 0 {
		t.Fatalf("%d %s", code, said.String())
	}
	if code := Run([]string{"receive", dir + "/copy", "site"}, &stream, nil, &said); code != 0 || said.Len() > 0 {
		t.Fatalf("%d %s", code, said.String())
	}
	if b, err := os.ReadFile(dir + "/copy/sub/a"); string(b) != "A" {
		t.Errorf("%q %v", b, err)
	}
	for _, c := range []struct {
		args string
		code int
		said string
	}{
		{"send /nowhere x", 1, `read "/nowhere": no such file or directory`},
		{"receive " + dir + "/none/ x", 1, "nothing came"},
		{"send", 3, "use jem copy"},
		{"send a b c", 3, "use jem copy"},
		{"take a b", 1, "use jem copy"},
	} {
		said.Reset()
		if code := Run(strings.Fields(c.args), strings.NewReader(""), &stream, &said); code != c.code || !strings.Contains(said.String(),
			c.said) || strings.Count(said.String(), "\n") != 1 {
			t.Errorf("%s: %d %q", c.args, code, said.String())
		}
	}
}
