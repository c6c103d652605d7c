package runs

import (
	"testing"

	"hardnode.dev/internal/testkit/golden"
)

func TestGolden(t *testing.T) { golden.Kept[document](t, "runs") }
