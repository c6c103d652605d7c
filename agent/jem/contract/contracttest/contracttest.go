// Package contracttest makes container roots for tests of JEM's modules, and calls actions in them.
//
// Owns: a root in a temporary directory; programs in it that are scripts.
// In: files; a module and a call.
// Out: the answer, as the host gets it.
// Never: is part of a program, or touches anything outside the root.
package contracttest

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"hardnode.dev/agent/jem/contract"
	"hardnode.dev/internal/wire/jem"
)

// Root makes a root: names are below it; one that ends in / is a directory, one that ends in @ a link to its text. What begins with #! can
// be executed.
func Root(t testing.TB, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for name, text := range files {
		Write(t, root, name, text)
	}
	return root
}

// Write makes one of a root's files, in Root's manner.
func Write(t testing.TB, root, name, text string) {
	t.Helper()
	p := filepath.Join(root, strings.TrimSuffix(name, "@"))
	dir := filepath.Dir(p)
	if strings.HasSuffix(name, "/") {
		dir = p
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	var err error
	mode := os.FileMode(0o644)
	switch {
	case dir == p:
	case strings.HasSuffix(name, "@"):
		err = os.Symlink(text, p)
	default:
		if strings.HasPrefix(text, "#!") {
			mode = 0o755
		}
		err = os.WriteFile(p, []byte(text), mode)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// Reached lets users other than the one who runs the test into a root.
func Reached(root string) {
	for d := root; d != os.TempDir() && d != "/"; d = filepath.Dir(d) {
		os.Chmod(d, 0o755)
	}
}

// Options are what a call has beside its arguments.
type Options struct {
	In   string
	Told jem.Told
	Now  time.Time // zero: now
	// Until ends the call where its own limit does not; nil: the test's end.
	Until context.Context
}

// Call calls an action of a module; the answer went through JSON.
func Call(t testing.TB, m contract.Module, root string, o Options, argv ...string) jem.Reply {
	t.Helper()
	c := &contract.Call{Root: root, In: strings.NewReader(o.In), Told: o.Told, Now: time.Now}
	if !o.Now.IsZero() {
		c.Now = func() time.Time { return o.Now }
	}
	ctx := t.Context()
	if o.Until != nil {
		ctx = o.Until
	}
	contract.Serve(ctx, []contract.Module{m}, append([]string{m.Name}, argv...), c)
	c.Reply.Init = jem.InitApp
	raw, err := json.Marshal(c.Reply)
	if err != nil {
		t.Fatal(err)
	}
	r, err := jem.Decode(raw)
	if err != nil {
		t.Fatalf("%v: %v", argv, err)
	}
	return r
}

// Text is a file's content; "" if it is not there.
func Text(root, name string) string {
	b, err := os.ReadFile(filepath.Join(root, name))
	if err != nil {
		return ""
	}
	return string(b)
}
