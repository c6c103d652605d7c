package slots

import (
	"testing"

	"hardnode.dev/internal/testkit/golden"
)

func TestGolden(t *testing.T) {
	golden.Wire[Request](t, "request")
	golden.Wire[Status](t, "status")
}
