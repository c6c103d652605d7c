package backup

import (
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/backup"
)

// Object is the name of something that lies at a place, taken apart: what one of these is not, no place of another's is asked for.
type Object struct {
	Node   wire.CTID
	Backup backup.ID
	Sum    string // of a chunk: how its SHA-256 begins, in hex; "" of a manifest, or of what is there of one that was cut
}

const sumInName = 16

// ParseObject takes NODE/BACKUP/manifest.json, NODE/BACKUP/cut.json or NODE/BACKUP/000000-<sum>.age apart.
func ParseObject(name string) (o Object, err error) {
	parts := strings.Split(name, "/")
	bad := fmt.Errorf("%.100q names nothing of a backup", name)
	if len(parts) != 3 {
		return o, bad
	}
	if o.Node, o.Backup, err = named(parts[0], parts[1]); err != nil {
		return o, bad
	}
	if parts[2] == manifest || parts[2] == cutFile {
		return o, nil
	}
	n, sum, ok := strings.Cut(strings.TrimSuffix(parts[2], ".age"), "-")
	of, err := strconv.ParseUint(n, 10, 31)
	raw, herr := hex.DecodeString(sum)
	if !ok || err != nil || herr != nil || len(raw) != sumInName/2 || parts[2] != fmt.Sprintf("%06d-%x.age", of, raw) {
		return o, bad
	}
	o.Sum = sum
	return o, nil
}

// ParsePrefix says whether a list may be asked for by it: "" is all, NODE/ those of a node, NODE/BACKUP/ those of a backup.
func ParsePrefix(prefix string) error {
	parts := strings.Split(prefix, "/")
	var err error
	switch {
	case prefix == "":
		return nil
	case len(parts) == 2 && parts[1] == "":
		_, _, err = named(parts[0], "0")
	case len(parts) == 3 && parts[2] == "":
		_, _, err = named(parts[0], parts[1])
	default:
		err = fmt.Errorf("has %d parts", len(parts))
	}
	if err != nil {
		return fmt.Errorf("%.100q is no folder of backups: want NODE/ or NODE/BACKUP/", prefix)
	}
	return nil
}

func named(node, id string) (wire.CTID, backup.ID, error) {
	n, err := wire.ParseCTID(node)
	if err == nil && n.String() != node {
		err = fmt.Errorf("node %q: want %s", node, n)
	}
	if err != nil {
		return 0, "", err
	}
	return n, backup.ID(id), backup.ID(id).Validate()
}
