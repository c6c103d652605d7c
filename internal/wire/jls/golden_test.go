package jls

import (
	"testing"

	"hardnode.dev/internal/testkit/golden"
)

func TestGolden(t *testing.T) {
	golden.Wire[Signed](t, "signed")
	golden.Wire[Activate](t, "activate")
	golden.Wire[Renew](t, "renew")
	golden.Wire[LeaseReply](t, "lease-reply")
	golden.Wire[Seats](t, "seats")
	golden.Wire[SeatsReply](t, "seats-reply")
	golden.Wire[Config](t, "config")
	golden.Wire[Direct](t, "direct")
	golden.Wire[DirectorReply](t, "director-reply")
	golden.Wire[ErrorReport](t, "error-report")
	golden.Wire[Errors](t, "errors")
	golden.Wire[ErrorsReply](t, "errors-reply")
}
