package snapshot

import (
	"testing"

	"hardnode.dev/internal/testkit/golden"
	"hardnode.dev/internal/wire/snapshot"
)

// TestGolden: the next release reads what this one kept, and this one what the next keeps.
func TestGolden(t *testing.T) { golden.Kept[snapshot.Snapshot](t, "meta") }
