package gossip

import (
	"testing"

	"hardnode.dev/internal/testkit/golden"
)

func TestGolden(t *testing.T) { golden.Wire[Card](t, "card") }
