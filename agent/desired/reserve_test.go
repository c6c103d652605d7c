package desired

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

func TestReserve(t *testing.T) {
	full := fmt.Errorf("write: %w", unix.ENOSPC)
	other := errors.New("input/output error")
	for _, c := range []struct {
		name   string
		has    bool // the reserve was made
		errs   []error
		want   error
		pieces int // left
	}{
		{"there is room", true, []error{nil}, nil, pieces},
		{"a piece is enough", true, []error{full, nil}, nil, pieces - 1},
		{"three pieces are enough", true, []error{full, full, full, nil}, nil, pieces - 3},
		{"another error frees nothing", true, []error{other}, other, pieces},
		{"nothing is left", false, []error{full}, full, 0},
	} {
		r := reserve{filepath.Join(t.TempDir(), "reserve")}
		if c.has {
			if err := r.make(); errors.Is(err, unix.EOPNOTSUPP) {
				t.Skip("the disk of the tests' folder can't allocate: ", err)
			} else if err != nil {
				t.Fatal(err)
			}
		}
		n := 0
		if err := r.save(func() error { n++; return c.errs[n-1] }); !errors.Is(err, c.want) || n != len(c.errs) {
			t.Errorf("%s: got %v after %d writes, want %v after %d", c.name, err, n, c.want, len(c.errs))
		}
		if left, _ := os.ReadDir(r.dir); len(left) != c.pieces {
			t.Errorf("%s: %d pieces are left, want %d", c.name, len(left), c.pieces)
		}
		if !c.has {
			continue
		}
		if err := os.Truncate(r.piece(pieces-1), 0); err != nil { // as after a kill between making the file and its room
			t.Fatal(err)
		}
		if err := r.make(); err != nil {
			t.Error(err)
		}
		for i := range pieces {
			if st, err := os.Stat(r.piece(i)); err != nil || st.Size() != pieceSize {
				t.Errorf("%s: piece %d is not there again: %v", c.name, i, err)
			}
		}
	}
}
