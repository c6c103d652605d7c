package slots

import (
	"testing"

	"hardnode.dev/internal/disk/bootorder"
	"hardnode.dev/internal/testkit/golden"
)

func TestGolden(t *testing.T) { golden.Kept[bootorder.Record](t, "slots") }
