package identity

import (
	"testing"

	"hardnode.dev/internal/testkit/golden"
)

func TestGolden(t *testing.T) { golden.Wire[ComponentCSR](t, "component-csr") }
