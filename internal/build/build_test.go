package build

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestWhich(t *testing.T) {
	dir := t.TempDir()
	for i, c := range []struct{ text, version, time string }{
		{Text("1.4.0", "1790000000"), "1.4.0", "1790000000"},
		{"1.4.0\n", version, seconds},
		{"1.4.0\nyesterday\n", version, seconds},
		{"1.4.0\n-1\n", version, seconds},
		{"\n1790000000\n", version, seconds},
		{"1.4.0\n1790000000\nmore\n", version, seconds},
		{"", version, seconds},
		{strings.Repeat("1", 2000), version, seconds},
	} {
		file := filepath.Join(dir, string(rune('a'+i)))
		if err := os.WriteFile(file, []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		if v, s := which(file); v != c.version || s != c.time {
			t.Errorf("%.30q gives %q, %q; want %q, %q", c.text, v, s, c.version, c.time)
		}
	}
	if v, s := which(filepath.Join(dir, "none")); v != version || s != seconds {
		t.Errorf("without a file: %q, %q; want %q, %q", v, s, version, seconds)
	}
	if v, _ := which(dir); v != version {
		t.Errorf("a directory gives %q, want %q", v, version)
	}
}

func TestFileOf(t *testing.T) {
	for program, want := range map[string]string{
		"/usr/lib/hardnode/agent":                         File,
		"/usr/sbin/init":                                  File,
		"/run/hardnode/roots/1.4.0/usr/lib/hardnode/netd": "/run/hardnode/roots/1.4.0/usr/lib/hardnode/build",
		"/tmp/go-build/build.test":                        File,
	} {
		if got := fileOf(program, nil); got != want {
			t.Errorf("%s: got %s, want %s", program, got, want)
		}
	}
	if got := fileOf("", os.ErrNotExist); got != File {
		t.Errorf("a program that does not know where it lies: %s", got)
	}
}
