//go:build guest

package container

import (
	"testing"

	"hardnode.dev/internal/wire"
)

// What tests outside of this package share of its world.

// SpawnerUp starts the spawner of this guest, once.
func SpawnerUp(t *testing.T) { spawnerUp(t) }

// ImageFile is an image of the guest.
func ImageFile(t testing.TB, name string) (string, wire.Digest) { return image(t, name) }
