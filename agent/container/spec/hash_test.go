package spec

import (
	"testing"

	"hardnode.dev/internal/wire/host"
)

func TestFilesHash(t *testing.T) {
	a := []host.File{{Path: "/run/hardnode/a", Mode: 0o400, Data: []byte("x")}, {Path: "/run/hardnode/b"}}
	b := []host.File{a[1], a[0]}
	if Hash(a) != Hash(b) || Hash(nil) != "" {
		t.Error("order or emptiness counts")
	}
	for _, c := range []host.File{{Path: "/run/hardnode/a", Mode: 0o401, Data: []byte("x")},
		{Path: "/run/hardnode/a", Mode: 0o400, Data: []byte("y")}, {Path: "/run/hardnode/c", Mode: 0o400, Data: []byte("x")}} {
		if Hash([]host.File{c, a[1]}) == Hash(a) {
			t.Errorf("%+v makes no difference", c.Path)
		}
	}
}
