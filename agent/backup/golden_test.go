package backup

import (
	"testing"

	"hardnode.dev/internal/testkit/golden"
)

// TestGolden: the next release reads what this one kept, and this one what the next keeps.
func TestGolden(t *testing.T) { golden.Kept[kept](t, "backup") }
