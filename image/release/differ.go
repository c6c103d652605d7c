package release

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
)

// Differ says where two folders differ first, in the order of their files' names: a file that only one has, or a file and the offset of
// the first byte that differs. "" is nowhere. Times and owners don't count, modes do.
func Differ(a, b string) (string, error) {
	left, err := files(a)
	if err != nil {
		return "", err
	}
	right, err := files(b)
	if err != nil {
		return "", err
	}
	all := slices.Compact(slices.Sorted(slices.Values(slices.Concat(left, right))))
	for _, name := range all {
		switch {
		case !slices.Contains(left, name):
			return fmt.Sprintf("%s: only the second build has it", name), nil
		case !slices.Contains(right, name):
			return fmt.Sprintf("%s: only the first build has it", name), nil
		}
		what, err := differ(filepath.Join(a, name), filepath.Join(b, name))
		if what != "" || err != nil {
			return name + ": " + what, err
		}
	}
	return "", nil
}

func files(dir string) (names []string, err error) {
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		name, err := filepath.Rel(dir, path)
		names = append(names, name)
		return err
	})
	if err == nil && len(names) == 0 {
		err = fmt.Errorf("compare folder %q: it is empty", dir)
	}
	return names, err
}

// shown is how many bytes are shown at a difference.
const shown = 16

// differ says how two files differ, or "".
func differ(a, b string) (string, error) {
	var r [2]*bufio.Reader
	var size [2]int64
	var mode [2]fs.FileMode
	for i, path := range []string{a, b} {
		f, err := os.Open(path)
		if err != nil {
			return "", err
		}
		defer f.Close()
		st, err := f.Stat()
		if err != nil {
			return "", err
		}
		r[i], size[i], mode[i] = bufio.NewReaderSize(f, 1<<20), st.Size(), st.Mode()
	}
	if mode[0] != mode[1] {
		return fmt.Sprintf("its mode is %v in the first build, %v in the second", mode[0], mode[1]), nil
	}
	for at := int64(0); ; at++ {
		x, errX := r[0].ReadByte()
		y, errY := r[1].ReadByte()
		switch {
		case errors.Is(errX, io.EOF) && errors.Is(errY, io.EOF):
			return "", nil
		case errX != nil && !errors.Is(errX, io.EOF):
			return "", errX
		case errY != nil && !errors.Is(errY, io.EOF):
			return "", errY
		case errX != nil || errY != nil:
			return fmt.Sprintf("the first %d bytes are the same, but it has %d in the first build, %d in the second", at, size[0],
				size[1]), nil
		case x != y:
			restX, _ := r[0].Peek(shown) // what is there
			restY, _ := r[1].Peek(shown)
			return fmt.Sprintf("byte %d differs: %q, and in the second build %q", at, append([]byte{x}, restX...),
				append([]byte{y}, restY...)), nil
		}
	}
}
