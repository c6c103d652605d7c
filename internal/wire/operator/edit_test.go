package operator

import (
	"strings"
	"testing"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/firewall"
)

// What a client may not know of is taken from no layer by what it leaves out.
func TestUnmeant(t *testing.T) {
	layer := func(name string, after, links []wire.LayerName) LayerSpec {
		return LayerSpec{Name: wire.LayerName(name), After: after, Links: links}
	}
	db := []wire.LayerName{"db"}
	was := EnvironmentSpec{Layers: []LayerSpec{layer("cp", db, nil), layer("bl", nil, db), layer("db", nil, nil)}}
	was.Layers[2].Firewall = []firewall.PacketRule{{Name: "rest"}}
	ssd := layer("ssd", nil, nil)
	ssd.Place = &PlaceSpec{Labels: map[string]string{"disk": "ssd"}}
	was.Layers = append(was.Layers, ssd)
	for _, c := range []struct {
		name, knows string
		want        []LayerSpec
		object      string
	}{
		{"as it is", "", was.Layers, ""},
		{"another value", "", []LayerSpec{layer("cp", []wire.LayerName{"bl"}, nil), layer("bl", nil, db)}, ""},
		{"after is left out", "", []LayerSpec{layer("bl", nil, db), layer("cp", nil, nil)}, "layers[1].after"},
		{"and known", "after", []LayerSpec{layer("bl", nil, db), layer("cp", nil, nil)}, ""},
		{"links are left out", "after", []LayerSpec{layer("bl", nil, nil)}, "layers[0].links"},
		{"all is known", Known, []LayerSpec{layer("bl", nil, nil), layer("cp", nil, nil)}, ""},
		{"the layers go", "", []LayerSpec{layer("bl", nil, db)}, ""},
		{"rules are left out", "after, links", []LayerSpec{layer("db", nil, nil)}, "layers[0].firewall"},
		{"and known", Known, []LayerSpec{layer("db", nil, nil)}, ""},
		{"the place is left out", "after, links, firewall", []LayerSpec{layer("ssd", nil, nil)}, "layers[0].place"},
		{"and known", Known, []LayerSpec{layer("ssd", nil, nil)}, ""},
		{"it is another one", "", []LayerSpec{{Name: "ssd", Place: &PlaceSpec{Zones: []string{"a"}}}}, ""},
	} {
		p := Unmeant(was, EnvironmentSpec{Layers: c.want}, c.knows)
		if (p == nil) != (c.object == "") || p != nil && (p.Object != c.object || p.Code != Conflict || !strings.Contains(p.Next, Known)) {
			t.Errorf("%s: %v, want a problem of %q", c.name, p, c.object)
		}
	}
}
