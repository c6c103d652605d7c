package share

import (
	"testing"

	"hardnode.dev/internal/testkit/golden"
	"hardnode.dev/internal/wire/user"
)

func TestGolden(t *testing.T) {
	golden.Wire[Share](t, "share")
	golden.Wire[NewShare](t, "new")
	golden.Wire[NewTransfer](t, "transfer")
}

// A share gives nobody the environment: there is no owner in it.
func TestRoles(t *testing.T) {
	for role, ok := range map[user.Role]bool{user.Developer: true, user.Viewer: true, user.Owner: false, "": false, "admin": false} {
		if err := ValidateRole(role); (err == nil) != ok {
			t.Errorf("role %q: %v", role, err)
		}
	}
}
