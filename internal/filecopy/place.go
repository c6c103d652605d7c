package filecopy

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// place is where a stream goes: into the directory base, its agreed name as rel there ("." for base itself).
type place struct{ base, rel string }

// placeOf decides as cp(1) does. dest is as a person gave it; dir tells that the stream's top is a directory. A dest that is a directory
// takes what is copied under its name; one that is not there becomes what is copied.
func placeOf(dest, as string, dir bool) (place, error) {
	slash := strings.HasSuffix(dest, "/") || os.IsPathSeparator(dest[len(dest)-1])
	st, err := os.Stat(dest)
	switch {
	case err == nil && st.IsDir() && (as == Contents || as == Any):
		return place{dest, "."}, nil
	case err == nil && st.IsDir():
		return place{dest, as}, nil
	case as == Any:
		return place{}, fmt.Errorf("%q is no directory: a stream is unpacked in a directory that is there", dest)
	case err == nil && dir:
		return place{}, fmt.Errorf("%q is a file: a directory can't take its place", dest)
	case err == nil && slash:
		return place{}, fmt.Errorf("%q is a file, no directory: leave the slash at its end out", dest)
	case err == nil && !st.Mode().IsRegular():
		return place{}, fmt.Errorf("%q is %s: a file can't take its place", dest, special(st.Mode()))
	case err == nil:
		real, err := filepath.EvalSymlinks(dest)
		if err != nil {
			return place{}, fmt.Errorf("find %q: %w", dest, reason(err))
		}
		return place{filepath.Dir(real), filepath.Base(real)}, nil
	case !errors.Is(err, fs.ErrNotExist):
		return place{}, fmt.Errorf("look at %q: %w", dest, reason(err))
	case slash && !dir:
		return place{}, fmt.Errorf("there is no directory %q: make it first", dest)
	}
	clean := filepath.Clean(dest)
	if _, err := os.Lstat(clean); err == nil {
		return place{}, fmt.Errorf("%q is a link to something that is not there", dest)
	}
	parent := filepath.Dir(clean)
	if st, err := os.Stat(parent); err != nil || !st.IsDir() {
		return place{}, fmt.Errorf("there is no directory %q: make it first", parent)
	}
	return place{parent, filepath.Base(clean)}, nil
}
