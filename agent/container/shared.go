package container

import (
	"context"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"hardnode.dev/agent/sys"
	"hardnode.dev/internal/logging"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
)

// inMemory are the tmpfs of a container that are sized by its memory, as a machine's are by the machine's.
var inMemory = []string{"/dev/shm", "/run"}

// sharedBytes is the size of each: half of the memory, the kernel's own default; 0 leaves the host's.
func sharedBytes(l host.Limits) int64 { return max(l.MemoryMax, 0) / 2 }

// resizeShared gives the tmpfs of a running container the size that its new limits mean. One that holds more already keeps its size.
func (r *Runtime) resizeShared(ctx context.Context, id wire.CTID, l host.Limits) error {
	size := sharedBytes(l)
	rec, err := r.known.Running(ctx, id)
	if errors.Is(err, ErrNotRunning) || size == 0 {
		return nil
	}
	if err != nil {
		return err
	}
	root, err := os.OpenFile(fmt.Sprintf("/proc/%d/root", rec.PID), unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		return nil // it ends
	}
	defer root.Close()
	if err := r.known.Same(ctx, id, rec); err != nil { // the number may have become another process's
		return nil
	}
	for _, path := range inMemory {
		dir, err := sys.OpenPlain(root, path, unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW)
		if err != nil {
			continue // the container has taken it away
		}
		err = sys.ResizeTmpfs(dir, size)
		dir.Close()
		if err != nil {
			r.log.Warn("size of memory file system stays", logging.Container, id, "path", path, "bytes", size, logging.Err, err)
		}
	}
	return nil
}
