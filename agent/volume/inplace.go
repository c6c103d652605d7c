package volume

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"

	"hardnode.dev/agent/sys"
	"hardnode.dev/internal/disk/btrfs"
)

// InPlace lists, for people, the volumes below dataDir whose files are written in place, those in snapshots too: a restore brings them
// back.
func InPlace(dataDir string) (list []string, err error) {
	for _, of := range []string{"ct/*/", "snap/*/*/"} {
		found, err := filepath.Glob(filepath.Join(dataDir, of, VolumeName("*")))
		if err != nil {
			return nil, err
		}
		for _, path := range found {
			is, err := inPlace(path)
			if errors.Is(err, fs.ErrNotExist) {
				continue // it went meanwhile
			}
			if err != nil {
				return nil, err
			}
			if is {
				list = append(list, described(strings.TrimPrefix(path, dataDir+"/")))
			}
		}
	}
	return list, nil
}

func inPlace(path string) (bool, error) {
	d, err := sys.OpenDir(path)
	if err != nil {
		return false, err
	}
	defer d.Close()
	return btrfs.NoCOW(d)
}

// described says what lies at a path below DATA: ct/102/vol-db, snap/102/20261127-100000/vol-db.
func described(path string) string {
	at := strings.Split(path, "/")
	name := strings.TrimPrefix(at[len(at)-1], VolumeName(""))
	text := fmt.Sprintf("volume %s of node %s", name, at[1])
	if len(at) > 3 {
		text += " in snapshot " + at[2]
	}
	return text
}
