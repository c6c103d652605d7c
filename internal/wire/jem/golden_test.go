package jem

import (
	"testing"

	"hardnode.dev/internal/testkit/golden"
)

func TestGolden(t *testing.T) {
	golden.Wire[Reply](t, "reply")
	golden.Wire[Told](t, "told")
	golden.Wire[Template](t, "template")
}
