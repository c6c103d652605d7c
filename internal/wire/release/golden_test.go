package release

import (
	"testing"

	"hardnode.dev/internal/testkit/golden"
)

func TestGolden(t *testing.T) {
	golden.Wire[Manifest](t, "manifest")
	golden.Wire[Seal](t, "seal")
}
