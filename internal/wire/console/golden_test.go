package console

import (
	"testing"

	"hardnode.dev/internal/testkit/golden"
)

func TestGolden(t *testing.T) {
	golden.Wire[Host](t, "host")
	golden.Wire[Network](t, "network")
	golden.Wire[Container](t, "container")
	golden.Wire[Login](t, "login")
	golden.Wire[Session](t, "session")
	golden.Wire[Challenge](t, "challenge")
	golden.Wire[Leave](t, "leave")
	golden.Wire[Reset](t, "reset")
	golden.Wire[Stick](t, "stick")
	golden.Wire[Unlock](t, "unlock")
	golden.Wire[Activate](t, "activate")
	golden.Wire[Activated](t, "activated")
	golden.Wire[Install](t, "install")
}
