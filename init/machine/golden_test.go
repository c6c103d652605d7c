package machine

import (
	"testing"

	"hardnode.dev/internal/testkit/golden"
)

func TestGolden(t *testing.T) {
	golden.Kept[savedTime](t, "clock")
	golden.Kept[bootCount](t, "boot")
	golden.Kept[lives](t, "boots")
}
