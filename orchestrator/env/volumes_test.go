package env

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/operator"
)

func TestVolumeName(t *testing.T) {
	for path, want := range map[string]string{
		"/data":               "data",
		"/var/lib/mysql":      "var-lib-mysql",
		"/9p":                 "",
		"/a-b":                "", // /a/b is a-b
		"/var/lib/My_SQL":     "",
		"/_":                  "",
		"/srv/" + longer(200): "",
	} {
		got := VolumeName(path)
		if err := wire.Label("volume", got, maxVolumeName); err != nil {
			t.Errorf("%s: %v", path, err)
		}
		if want != "" && got != want {
			t.Errorf("%s: %q, want %q", path, got, want)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		path := rapid.StringMatching(`(/[a-z0-9_.A-Z-]{1,20}){1,6}`)
		a, b := path.Draw(t, "a"), path.Draw(t, "b")
		if err := wire.Label("volume", VolumeName(a), maxVolumeName); err != nil {
			t.Fatal(err)
		}
		if a != b && VolumeName(a) == VolumeName(b) {
			t.Fatalf("%s and %s have one name, %s", a, b, VolumeName(a))
		}
	})
}

func longer(n int) string { return string(slices.Repeat([]byte("x"), n)) }

// TestVolumesOf: what a node has of what its template and its layer want.
func TestVolumesOf(t *testing.T) {
	const disk = 1024
	v := func(name, path string, mib int64, nocow bool) host.Volume {
		return host.Volume{Name: name, Path: path, Bytes: mib << 20, NoCOW: nocow}
	}
	for _, c := range []struct {
		name     string
		template []host.TemplateVolume
		layer    []operator.VolumeSpec
		want     []host.Volume
	}{
		{"none", nil, nil, nil},
		{"the template's", []host.TemplateVolume{{Path: "/var/lib/mysql", NoCOW: true}, {Path: "/backup"}}, nil,
			[]host.Volume{v("backup", "/backup", disk, false), v("var-lib-mysql", "/var/lib/mysql", disk, true)}},
		{"a size and a name of the template's", []host.TemplateVolume{{Path: "/data", NoCOW: true}},
			[]operator.VolumeSpec{{Path: "/data", Name: "store", DiskMiB: 64}}, []host.Volume{v("store", "/data", 64, true)}},
		{"one more", []host.TemplateVolume{{Path: "/data"}}, []operator.VolumeSpec{{Path: "/srv", NoDataCOW: true}},
			[]host.Volume{v("srv", "/srv", disk, true), v("data", "/data", disk, false)}},
		{"one in the other", []host.TemplateVolume{{Path: "/srv/data"}, {Path: "/srv"}}, nil, []host.Volume{v("srv", "/srv", disk, false)}},
		{"the layer's in the template's", []host.TemplateVolume{{Path: "/srv"}}, []operator.VolumeSpec{{Path: "/srv/data"}},
			[]host.Volume{v("srv-data", "/srv/data", disk, false)}},
		{"the host's own places", []host.TemplateVolume{{Path: "/"}, {Path: "/proc"}, {Path: "/dev/shm"}, {Path: "/run/x"}, {Path: "/sys"}},
			nil, nil},
		{"a name that is taken", []host.TemplateVolume{{Path: "/data"}}, []operator.VolumeSpec{{Path: "/srv", Name: "data"}},
			[]host.Volume{v("data", "/srv", disk, false)}},
	} {
		got := volumesOf(operator.LayerSpec{Volumes: c.layer}, host.Template{Volumes: c.template}, disk)
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: %+v, want %+v", c.name, got, c.want)
		}
	}
	n := NodeOf("a", "hello", operator.LayerSpec{Name: "cp", DiskMiB: 100}, 0,
		host.Template{Volumes: []host.TemplateVolume{{Path: "/data"}}})
	if got := DiskOf(n.Container); got != 200<<20 {
		t.Errorf("the node counts %d MiB of disk, want 200", got>>20)
	}
}

func TestValidateVolumes(t *testing.T) {
	twenty := make([]operator.VolumeSpec, host.MaxVolumes+1)
	for _, c := range []struct {
		list   []operator.VolumeSpec
		object string
	}{
		{[]operator.VolumeSpec{{Path: "/data"}, {Path: "/srv", Name: "srv", DiskMiB: 16, NoDataCOW: true}}, ""},
		{[]operator.VolumeSpec{{}}, "v[0].path"},
		{[]operator.VolumeSpec{{Path: "data"}}, "v[0].path"},
		{[]operator.VolumeSpec{{Path: "/"}}, "v[0].path"},
		{[]operator.VolumeSpec{{Path: "/a/../b"}}, "v[0].path"},
		{[]operator.VolumeSpec{{Path: "/a\nb"}}, "v[0].path"},
		{[]operator.VolumeSpec{{Path: "/" + longer(1024)}}, "v[0].path"},
		{[]operator.VolumeSpec{{Path: "/proc/sys"}}, "v[0].path"},
		{[]operator.VolumeSpec{{Path: "/data", Name: "A"}}, "v[0].name"},
		{[]operator.VolumeSpec{{Path: "/data", DiskMiB: 15}}, "v[0].diskMiB"},
		{[]operator.VolumeSpec{{Path: "/data", DiskMiB: -1}}, "v[0].diskMiB"},
		{[]operator.VolumeSpec{{Path: "/data", DiskMiB: MostVolumeMiB + 1}}, "v[0].diskMiB"},
		{[]operator.VolumeSpec{{Path: "/data"}, {Path: "/srv", Name: "data"}}, "v[1].name"},
		{[]operator.VolumeSpec{{Path: "/data"}, {Path: "/data/in", Name: "b"}}, "v[1].path"},
		{twenty, "v"},
	} {
		found := volumes("v", c.list)
		switch {
		case c.object == "" && len(found) > 0:
			t.Errorf("%+v: %v", c.list, found[0])
		case c.object != "" && (len(found) != 1 || found[0].Object != c.object):
			t.Errorf("%.100v: %v, want one problem of %s", c.list, found, c.object)
		}
	}
}

func TestResizeVolumes(t *testing.T) {
	was := []host.Volume{{Name: "data", Bytes: 64 << 20}, {Name: "log", Bytes: 16 << 20}}
	got, p := ResizeVolumes(was, []operator.VolumeSize{{Name: "log", DiskMiB: 32}})
	if p != nil || got[1].Bytes != 32<<20 || got[0].Bytes != 64<<20 || was[1].Bytes != 16<<20 {
		t.Errorf("%v, %v, and before %v", got, p, was)
	}
	for object, s := range map[string]operator.VolumeSize{
		"volumes[0].name": {Name: "else", DiskMiB: 32}, "volumes[0].diskMiB": {Name: "log", DiskMiB: 15},
	} {
		if _, p := ResizeVolumes(was, []operator.VolumeSize{s}); p == nil || p.Object != object {
			t.Errorf("%+v: %v, want a problem of %s", s, p, object)
		}
	}
}
