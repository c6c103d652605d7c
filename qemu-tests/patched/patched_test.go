package patched

import (
	"go/parser"
	"go/token"
	"slices"
	"testing"

	"hardnode.dev/qemu-tests/harness"
)

// TestEdits: what the releases of long tests change is still in the tree, and is Go when it is changed.
func TestEdits(t *testing.T) {
	root, err := harness.Root()
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range slices.Concat(OneFunction, Programs, NeverReady, NoSystem) {
		code, err := e.Apply(root)
		if err != nil {
			t.Error(err)
			continue
		}
		if _, err := parser.ParseFile(token.NewFileSet(), e.File, code, 0); err != nil {
			t.Errorf("%s: %v", e.File, err)
		}
	}
}
