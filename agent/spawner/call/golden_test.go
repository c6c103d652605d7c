package call

import (
	"testing"

	"hardnode.dev/internal/testkit/golden"
)

// The agent may be replaced under a running spawner: both read each other's messages.
func TestGolden(t *testing.T) {
	golden.Wire[Request](t, "request")
	golden.Wire[Reply](t, "reply")
	golden.Wire[Record](t, "record")
}
