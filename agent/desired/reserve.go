package desired

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"

	"hardnode.dev/internal/logging"
)

// The reserve is room on DATA that is given up, piece by piece, when a document can't be written for want of space. Without it a full
// disk would be for ever: the order to delete what fills it could not be taken.
const (
	pieces    = 16
	pieceSize = 1 << 20 // bytes
	plenty    = 8       // times the whole reserve must be free before it is made again
)

type reserve struct{ dir string }

func (r reserve) piece(i int) string { return filepath.Join(r.dir, strconv.Itoa(i)) }

// give gives one piece up; false when none is left.
func (r reserve) give() bool {
	for i := range pieces {
		if os.Remove(r.piece(i)) == nil {
			return true
		}
	}
	return false
}

// make allocates the pieces that are missing or were not finished, if there is plenty of room.
func (r reserve) make() error {
	if err := os.MkdirAll(r.dir, 0o700); err != nil {
		return err
	}
	var st unix.Statfs_t
	if err := unix.Statfs(r.dir, &st); err != nil {
		return fmt.Errorf("look at %q: %v", r.dir, err)
	}
	if int64(st.Bavail)*int64(st.Bsize) < plenty*pieces*pieceSize {
		return nil
	}
	for i := range pieces {
		if err := allocate(r.piece(i)); err != nil {
			return err
		}
	}
	return nil
}

// allocate changes nothing where the room is there already (fallocate(2)).
func allocate(path string) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := unix.Fallocate(int(f.Fd()), 0, 0, pieceSize); err != nil {
		return fmt.Errorf("allocate %q: %w", path, err)
	}
	return nil
}

// save tries again with a piece less as long as the disk is full.
func (r reserve) save(write func() error) error {
	err := write()
	for errors.Is(err, unix.ENOSPC) && r.give() {
		err = write()
	}
	return err
}

// Replenish makes the reserve again after the disk was full; it costs next to nothing when nothing is missing.
func (s *Store) Replenish() {
	if err := s.reserve.make(); err != nil {
		s.log.Warn("no room held back for documents", logging.Err, err)
	}
}
