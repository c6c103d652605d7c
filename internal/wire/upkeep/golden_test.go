package upkeep

import (
	"testing"

	"hardnode.dev/internal/testkit/golden"
)

func TestGolden(t *testing.T) {
	golden.Wire[Leave](t, "leave")
	golden.Wire[Boot](t, "boot")
	golden.Wire[Config](t, "config")
}
