package env

import (
	"cmp"
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/mount"
	"hardnode.dev/internal/wire/operator"
)

// MostVolumeMiB is the largest quota of a volume, 16 TiB; LeastVolumeMiB the smallest.
const (
	LeastVolumeMiB = 16
	MostVolumeMiB  = 16 << 20
)

// volumes says what is wrong with the volumes that a layer asks for, or nil. at names their list.
func volumes(at string, list []operator.VolumeSpec) (found []*operator.Problem) {
	bad := func(i int, field, reason, next string) {
		found = append(found, operator.NewProblem(operator.Invalid, fmt.Sprintf("%s[%d]%s", at, i, field), reason, next))
	}
	if len(list) > host.MaxVolumes {
		return []*operator.Problem{operator.NewProblem(operator.Invalid, at, fmt.Sprintf("there are %d volumes, at most %d are allowed",
			len(list), host.MaxVolumes), "put directories that belong together into one volume")}
	}
	for i, v := range list {
		if err := mount.ValidatePath(v.Path); err != nil {
			bad(i, ".path", err.Error(), "choose another path")
		}
		if v.Name != "" {
			if err := wire.Label("volume", v.Name, maxVolumeName); err != nil {
				bad(i, ".name", err.Error(), "choose another name, or leave it out")
			}
		}
		if v.DiskMiB != 0 && (v.DiskMiB < LeastVolumeMiB || v.DiskMiB > MostVolumeMiB) {
			bad(i, ".diskMiB", fmt.Sprintf("%d MiB, want %d to %d, or 0 for the size of the node's own disk", v.DiskMiB, LeastVolumeMiB,
				MostVolumeMiB), "change the size")
		}
		for _, o := range list[:i] {
			switch {
			case volumeName(o) == volumeName(v):
				bad(i, ".name", fmt.Sprintf("volume %q is there twice", volumeName(v)), "give each volume a name of its own")
			case mount.Overlap(o.Path, v.Path):
				bad(i, ".path", fmt.Sprintf("%q and %q: one lies in the other", o.Path, v.Path), "choose another path")
			}
		}
	}
	return found
}

// maxVolumeName is how long the name of a volume may be.
const maxVolumeName = 40

func volumeName(v operator.VolumeSpec) string { return cmp.Or(v.Name, VolumeName(v.Path)) }

// VolumeName is the name of a volume that nobody named. It follows from the path alone, so that the next image that wants a volume there
// finds the same one, whatever else it wants: /var/lib/mysql is var-lib-mysql. Where characters are lost, or the path is long, part of
// its SHA-256 keeps names apart.
func VolumeName(path string) string {
	path = strings.TrimPrefix(path, "/")
	plain := strings.ReplaceAll(path, "/", "-")
	name := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			return r
		}
		return '-'
	}, path)
	if name == plain && !strings.Contains(path, "-") && wire.Label("volume", name, maxVolumeName) == nil {
		return name
	}
	sum := fmt.Sprintf("%x", sha256.Sum256([]byte(path)))[:8]
	name = strings.TrimLeft(name[:min(len(name), maxVolumeName-len(sum)-1)], "-0123456789")
	return cmp.Or(strings.TrimRight(name, "-"), "volume") + "-" + sum
}

// volumesOf are the volumes of a layer's node: those that its spec asks for, and those of the template that it says nothing of, each with
// the node's own disk as its size. Of two that the template wants one in the other, the outer one has the data of both. The host's own
// places, as /proc, are none whatever an image says.
func volumesOf(l operator.LayerSpec, t host.Template, diskMiB int64) (out []host.Volume) {
	for _, v := range l.Volumes {
		of := slices.IndexFunc(t.Volumes, func(o host.TemplateVolume) bool { return o.Path == v.Path })
		out = append(out, host.Volume{Name: volumeName(v), Path: v.Path, Bytes: cmp.Or(v.DiskMiB, diskMiB) << 20,
			NoCOW: v.NoDataCOW || of >= 0 && t.Volumes[of].NoCOW})
	}
	template := slices.SortedFunc(slices.Values(t.Volumes), func(a, b host.TemplateVolume) int { return cmp.Compare(a.Path, b.Path) })
	for _, v := range template {
		name := VolumeName(v.Path)
		lies := func(o host.Volume) bool { return o.Name == name || mount.Overlap(o.Path, v.Path) }
		if mount.ValidatePath(v.Path) != nil || slices.ContainsFunc(out, lies) {
			continue
		}
		out = append(out, host.Volume{Name: name, Path: v.Path, Bytes: diskMiB << 20, NoCOW: v.NoCOW})
	}
	return out
}

// DiskOf is what a container may take of its host's disk, in bytes: its own layer and its volumes, but for those without a quota.
func DiskOf(c host.Container) int64 {
	sum := c.Limits.DiskBytes
	for _, v := range c.Volumes {
		sum += v.Bytes
	}
	return sum
}

// ResizeVolumes gives volumes new quotas; the list it was given stays as it is.
func ResizeVolumes(list []host.Volume, sizes []operator.VolumeSize) ([]host.Volume, *operator.Problem) {
	out := slices.Clone(list)
	for i, s := range sizes {
		field := fmt.Sprintf("volumes[%d]", i)
		at := slices.IndexFunc(out, func(v host.Volume) bool { return v.Name == s.Name })
		switch {
		case at < 0:
			return nil, operator.NewProblem(operator.Invalid, field+".name", fmt.Sprintf("the node has no volume %q", s.Name),
				"see hnctl node volume list")
		case s.DiskMiB < LeastVolumeMiB || s.DiskMiB > MostVolumeMiB:
			return nil, operator.NewProblem(operator.Invalid, field+".diskMiB", fmt.Sprintf("%d, want %d to %d", s.DiskMiB, LeastVolumeMiB,
				MostVolumeMiB), "correct it")
		}
		out[at].Bytes = s.DiskMiB << 20
	}
	return out, nil
}
