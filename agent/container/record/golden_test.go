package record

import (
	"testing"

	"hardnode.dev/internal/testkit/golden"
)

func TestGolden(t *testing.T) { golden.Wire[Note](t, "note") }
