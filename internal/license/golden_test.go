package license

import (
	"testing"

	"hardnode.dev/internal/testkit/golden"
)

func TestGolden(t *testing.T) {
	golden.Wire[License](t, "license")
	golden.Wire[Lease](t, "lease")
	golden.Wire[SigningKey](t, "signing-key")
	golden.Wire[Footer](t, "footer")
}
