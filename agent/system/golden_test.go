package system

import (
	"testing"

	"hardnode.dev/internal/testkit/golden"
)

func TestGolden(t *testing.T) {
	golden.Kept[kept](t, "order")
	golden.Kept[believed](t, "trust")
}
