//go:build guest

package scrub

import (
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"hardnode.dev/internal/disk/btrfs"
)

// TestShare: what one container can take of DATA's metadata with its quota. Names, links, attributes and small files count for it; what the
// filesystem keeps for itself of data that was written in small pieces (where each lies, and its checksums) does not, and is bounded by
// the quota all the same, since each piece takes a block of it.
func TestShare(t *testing.T) {
	const quota = 16 << 20
	block := make([]byte, 4096)
	rand.Read(block)
	for name, c := range map[string]struct {
		write func(dir string, i int) error
		most  int64 // times the quota, in percent
	}{
		"small files": {func(dir string, i int) error { return os.WriteFile(fmt.Sprintf("%s/%d", dir, i), block[:1900], 0o600) }, 115},
		"hard links": {func(dir string, i int) error {
			from := fmt.Sprintf("%s/of-%d", dir, i/1000)
			if i%1000 == 0 {
				return os.WriteFile(from, nil, 0o600)
			}
			return os.Link(from, fmt.Sprintf("%s/%0200d", dir, i))
		}, 115},
		"attributes": {func(dir string, i int) error {
			at := fmt.Sprintf("%s/of-%d", dir, i/100)
			if i%100 == 0 {
				return os.WriteFile(at, nil, 0o600)
			}
			return unix.Setxattr(at, fmt.Sprintf("user.%0200d", i), block[:3000], 0)
		}, 115},
		"data in small pieces": {pieces(block), 15},
	} {
		t.Run(name, func(t *testing.T) {
			data := small(t)
			top, err := os.Open(data)
			must(t, err)
			defer top.Close()
			must(t, btrfs.CreateSubvolume(top, "ct"))
			dir, err := os.Open(filepath.Join(data, "ct"))
			must(t, err)
			defer dir.Close()
			must(t, btrfs.LimitSubvolume(dir, quota))
			k := New(data, nil)
			used := func() int64 {
				unix.Sync()
				d, s, err := k.look()
				must(t, errors.Join(err, d.Close()))
				return s.metadata.Used
			}
			before, n := used(), 0
			for ; err == nil; n++ {
				if err = c.write(dir.Name(), n); n%500 == 499 {
					unix.Sync() // pieces that are written together would lie together
				}
			}
			took := used() - before
			if !errors.Is(err, unix.EDQUOT) {
				t.Errorf("after %d: %v, want that its quota ends it", n, err)
			}
			if took > quota/100*c.most {
				t.Errorf("with a quota of %d MiB it took %d KiB of metadata, want %d %% of the quota at most", quota>>20, took>>10, c.most)
			}
			counted, err := btrfs.SubvolumeBytes(dir)
			must(t, err)
			t.Logf("%s: %d, %d KiB of metadata (of which a disk keeps two), %d KiB counted", name, n, took>>10, counted>>10)
		})
	}
}

// pieces writes a file's blocks so that no two that are neighbours lie beside each other: each is an extent of its own.
func pieces(block []byte) func(dir string, i int) error {
	return func(dir string, i int) error {
		f, err := os.OpenFile(dir+"/pieces", os.O_CREATE|os.O_WRONLY|unix.O_DSYNC, 0o600)
		if err != nil {
			return err
		}
		_, err = f.WriteAt(block, int64(i)*2*int64(len(block)))
		return errors.Join(err, f.Close())
	}
}
