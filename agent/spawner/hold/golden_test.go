package hold

import (
	"testing"

	"hardnode.dev/internal/testkit/golden"
)

func TestGolden(t *testing.T) { golden.Wire[stored](t, "records") }
