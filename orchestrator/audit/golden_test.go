package audit

import (
	"testing"

	"hardnode.dev/internal/testkit/golden"
)

func TestGolden(t *testing.T) { golden.Wire[line](t, "line") }
