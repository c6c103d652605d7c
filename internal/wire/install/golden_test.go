package install

import (
	"testing"

	"hardnode.dev/internal/testkit/golden"
)

func TestGolden(t *testing.T) {
	golden.Wire[Spec](t, "spec")
	golden.Wire[Status](t, "status")
}
