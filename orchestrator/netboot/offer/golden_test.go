package offer

import (
	"testing"

	"hardnode.dev/internal/testkit/golden"
	"hardnode.dev/internal/wire/host"
)

func TestGolden(t *testing.T) { golden.Kept[host.Netboot](t, "netboot") }
