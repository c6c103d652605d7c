package smart

import (
	"errors"
	"strings"
	"testing"

	"hardnode.dev/internal/wire/storage"
)

// TestForget: errors are counted anew only if a person has seen all of them, and the disk is well then at once.
func TestForget(t *testing.T) {
	for what, c := range map[string]struct {
		member    bool
		now, seen int64
		want      string
	}{
		"all seen":   {true, 12, 12, ""},
		"more":       {true, 13, 12, "13 reads or writes of it failed, and not 12: look at it again"},
		"none":       {true, 0, 12, "no read or write of it failed"},
		"not a disk": {false, 0, 12, "this host's data does not lie on it"},
	} {
		err := forgettable("/dev/sdb", c.member, c.now, c.seen)
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: got %v, want %q", what, err, c.want)
		}
	}
	counted := map[string]int64{"/dev/sdb": 3}
	k := New(Options{Sys: t.TempDir(), Dev: "/dev", Errors: func() map[string]int64 { return counted },
		Forget: func(path string, seen int64) (int64, error) {
			n := counted[path]
			if n != seen {
				return 0, errors.New("others")
			}
			delete(counted, path)
			return n, nil
		}})
	for _, want := range []storage.Acknowledge{{}, {Disk: "sdb", Errors: 3}, {Disk: "/dev/sdb"}, {Disk: "/dev/sdb", Errors: 2}} {
		if n, err := k.Forget(t.Context(), want); err == nil || n != 0 || counted["/dev/sdb"] != 3 {
			t.Errorf("%+v: %d, %v, %v", want, n, err, counted)
		}
	}
	if n, err := k.Forget(t.Context(), storage.Acknowledge{Disk: "/dev/sdb", Errors: 3}); err != nil || n != 3 || len(counted) != 0 {
		t.Errorf("%d, %v, %v", n, err, counted)
	}
}

// TestForgetNothing: what lies on no btrfs is an error, and nothing is counted anew.
func TestForgetNothing(t *testing.T) {
	if n, err := Forget("/dev/sda", 1, t.TempDir()+"/none"); err == nil || n != 0 {
		t.Errorf("%d, %v", n, err)
	}
}
