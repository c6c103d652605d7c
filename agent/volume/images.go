package volume

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"hardnode.dev/agent/sys"
	"hardnode.dev/internal/wire"
)

// Images mounts erofs files, each once: all containers of an image share its page cache. Its mounts are the state: a new Images finds
// those of an earlier one.
type Images struct {
	dir string

	mu struct {
		sync.Mutex
		held map[wire.Digest]int // uses that no process shows yet
	}
}

// OpenImages keeps mounts below runDir/img.
func OpenImages(runDir string) (*Images, error) {
	i := &Images{dir: filepath.Join(runDir, "img")}
	i.mu.held = map[wire.Digest]int{}
	if err := os.MkdirAll(i.dir, 0o700); err != nil {
		return nil, fmt.Errorf("make image directory: %w", err)
	}
	return i, nil
}

// Use mounts the image if it is not, read-only and without set-uid or devices, and opens its root. It stays mounted at least until
// release.
func (i *Images) Use(d wire.Digest, file string) (root *os.File, release func(), err error) {
	if err := d.Validate(); err != nil {
		return nil, nil, err
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	at := filepath.Join(i.dir, d.Hex())
	if err := os.Mkdir(at, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, nil, fmt.Errorf("make mount point of image: %w", err)
	}
	mounted, err := sys.IsMountpoint(at)
	if err != nil {
		return nil, nil, err
	}
	if !mounted {
		if err := mountImage(file, at); err != nil {
			os.Remove(at)
			return nil, nil, err
		}
	}
	root, err = sys.OpenDir(at)
	if err != nil {
		return nil, nil, err
	}
	i.mu.held[d]++
	return root, sync.OnceFunc(func() {
		root.Close()
		i.mu.Lock()
		defer i.mu.Unlock()
		if i.mu.held[d]--; i.mu.held[d] == 0 {
			delete(i.mu.held, d)
		}
	}), nil
}

// mountImage mounts the file itself, without a loop device.
func mountImage(file, at string) error {
	tree, err := sys.NewMount("erofs", sys.ReadOnly|sys.NoSuid|sys.NoDev, [2]string{"source", file}, [2]string{"ro", ""})
	if err != nil {
		return fmt.Errorf("mount image %q: %w", file, err)
	}
	defer tree.Close()
	return sys.Attach(tree, at)
}

// Prune unmounts the images that neither used (what runs) nor an unreleased Use names.
func (i *Images) Prune(used map[wire.Digest]bool) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	entries, err := os.ReadDir(i.dir)
	if err != nil {
		return fmt.Errorf("list image mounts: %w", err)
	}
	var errs []error
	for _, e := range entries {
		d := wire.Digest("sha256:" + e.Name())
		if used[d] || i.mu.held[d] > 0 {
			continue
		}
		at := filepath.Join(i.dir, e.Name())
		errs = append(errs, sys.Detach(at), os.Remove(at))
	}
	return errors.Join(errs...)
}

// Mounted is the images that are mounted.
func (i *Images) Mounted() ([]wire.Digest, error) {
	entries, err := os.ReadDir(i.dir)
	if err != nil {
		return nil, fmt.Errorf("list image mounts: %w", err)
	}
	var list []wire.Digest
	for _, e := range entries {
		list = append(list, wire.Digest("sha256:"+e.Name()))
	}
	return list, nil
}
