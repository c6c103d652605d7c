package settle

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"hardnode.dev/init/netd/source"
	"hardnode.dev/internal/wire/boot"
)

const good = "version: 1\nname: host-1\nrole: user\n"

// script answers one look after another; the last answer stays.
func script(answers ...any) func() (source.Document, error) {
	n := -1
	return func() (source.Document, error) {
		n = min(n+1, len(answers)-1)
		if err, bad := answers[n].(error); bad {
			return source.Document{}, err
		}
		return source.Document{Name: "test.yaml", YAML: []byte(answers[n].(string)), Bundle: []byte("{}")}, nil
	}
}

// TestTyped: what is typed while the host waits is its configuration, though a source has a bad one; what is not valid is not.
func TestTyped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		typed := make(chan source.Document, 2)
		f := Finder{Local: script("name: x"), Say: func(string) {}, Again: time.Hour, Typed: typed}
		typed <- source.Document{Name: "terminal", YAML: []byte("colour: red")}
		typed <- source.Document{Name: "terminal", YAML: []byte(good)}
		c, d, err := f.Find(t.Context())
		if err != nil || c.Name != "host-1" || d.Name != "terminal" {
			t.Errorf("got %+v of %s, %v", c, d.Name, err)
		}
	})
}

func TestFindWaitsAndSaysWhyOnce(t *testing.T) {
	for _, c := range []struct {
		name    string
		answers []any
		said    []string
	}{
		{"at once", []any{good}, nil},
		{"nothing, then a volume", []any{source.Nothing, source.Nothing, good},
			[]string{"maintenance mode, code AB-CD: no configuration found; give the host a volume"}},
		{"a server that is away", []any{fmt.Errorf("fetch configuration from http://x/y: status 404; %w", source.Unread), good},
			[]string{"maintenance mode, code AB-CD: fetch configuration from http://x/y: status 404; it is asked for again"}},
		{"unknown field", []any{good + "colour: red\n", good}, []string{"not valid: test.yaml:4:1: "}},
		{"duplicate field", []any{good + "role: infra\n", good}, []string{"not valid: test.yaml:4:1: "}},
		{"two different faults", []any{"name: x", "version: 1", good}, []string{"version: 0 is not known", "name"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var said []string
				f := Finder{Local: script(c.answers...), Say: func(l string) { said = append(said, l) }, Code: "AB-CD", Again: time.Second}
				got, _, err := f.Find(t.Context())
				if err != nil || got.Name != "host-1" {
					t.Fatalf("got %+v, %v", got, err)
				}
				if len(said) != len(c.said) {
					t.Fatalf("said %q, want %d lines", said, len(c.said))
				}
				for i := range said {
					if !strings.Contains(said[i], c.said[i]) || strings.Contains(said[i], "\n") {
						t.Errorf("said %q, want %q", said[i], c.said[i])
					}
				}
			})
		})
	}
}

func TestRemoteIsAskedOnlyWhenThereIsNothingLocal(t *testing.T) {
	remote := func(context.Context) (source.Document, error) {
		return source.Document{Name: "url", YAML: []byte(strings.Replace(good, "host-1", "host-2", 1))}, nil
	}
	for want, local := range map[string]func() (source.Document, error){"host-1": script(good), "host-2": script(source.Nothing)} {
		f := Finder{Local: local, Remote: remote, Say: func(string) {}, Again: time.Second}
		if got, _, err := f.Find(t.Context()); err != nil || got.Name != want {
			t.Errorf("got %s, %v; want %s", got.Name, err, want)
		}
	}
}

func TestWriteAndEarlier(t *testing.T) {
	dir := t.TempDir()
	if _, found, err := Earlier(dir); found || err != nil {
		t.Fatalf("found %v, %v in an empty directory", found, err)
	}
	c := boot.HostConfig{Version: 1, Name: "infra-0", Role: "infra", Join: &boot.Join{Token: "hn1.x"}}
	if err := Write(dir, c, source.Document{Bundle: []byte(`{"version":1}`)}); err != nil {
		t.Fatal(err)
	}
	got, found, err := Earlier(dir)
	if err != nil || !found || got.Name != c.Name || got.Join.Token.Reveal() != "hn1.x" {
		t.Errorf("got %+v, %v, %v", got, found, err)
	}
	for name, want := range map[string]string{"host.json": "", "bundle.json": `{"version":1}`} {
		st, err := os.Stat(filepath.Join(dir, name))
		if err != nil || st.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v; want mode 0600", name, st, err)
		}
		if raw, _ := os.ReadFile(filepath.Join(dir, name)); want != "" && string(raw) != want {
			t.Errorf("%s: got %q", name, raw)
		}
	}
}

func TestCode(t *testing.T) {
	a, b := Code("uuid", "52:54"), Code("52:54", "uuid")
	if a != b || len(a) != 9 || a[4] != '-' || a == Code("uuid", "52:55") {
		t.Errorf("codes %q, %q", a, b)
	}
}
