package limits

import (
	"fmt"
	"strings"

	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/volume"
)

// VolumeDrift says which volumes have other quotas than the wanted ones, "" when none has. Volumes that are not there yet have none.
func VolumeDrift(has []volume.Use, want []host.Volume) string {
	limit := map[string]int64{}
	for _, u := range has {
		limit[u.Name] = u.Limit
	}
	var diff []string
	for _, v := range want {
		if got, there := limit[v.Name]; there && got != max(v.Bytes, 0) {
			diff = append(diff, fmt.Sprintf("quota of volume %q is %d, wanted %d", v.Name, got, max(v.Bytes, 0)))
		}
	}
	return strings.Join(diff, "; ")
}

// VolumeNotes are the volumes with what of them is not as it is wished.
func VolumeNotes(has []volume.Use, want []host.Volume) []volume.Use {
	inPlace := map[string]bool{}
	for _, v := range want {
		inPlace[v.Name] = v.NoCOW
	}
	out := append([]volume.Use(nil), has...)
	for i, u := range out {
		if inPlace[u.Name] && !u.NoCOW {
			out[i].Note = "its files are not written in place: data lies on two disks, or the volume was made before that was wished"
		}
	}
	return out
}
