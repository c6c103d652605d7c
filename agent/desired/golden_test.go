package desired

import (
	"testing"

	"hardnode.dev/internal/testkit/golden"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
)

func TestGolden(t *testing.T) {
	golden.Kept[workDoc](t, "work")
	golden.Wire[*host.Kept](t, "peers")
	golden.Wire[systemDoc](t, "system")
	golden.Wire[step](t, "trail")
	golden.Kept[map[wire.CTID]uint32](t, "ranges")
}
