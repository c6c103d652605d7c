package store

import (
	"reflect"
	"testing"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/mount"
)

// TestMounts: a node's mounts and who may mount a node's volumes are two sides of one record, wherever the nodes are.
func TestMounts(t *testing.T) {
	const h1, h2 = wire.HostID("h-000000000001"), wire.HostID("h-000000000002")
	nodes := []Node{{CTID: 101, Layer: "storage", Host: h1}, {CTID: 102, Layer: "cp", Host: h2},
		{CTID: 103, Layer: "cp", Index: 1, Host: h1}, {CTID: 104, Layer: "cp", Host: h1, Gone: true}}
	on := func(id wire.CTID) wire.HostID {
		for _, n := range nodes {
			if n.CTID == id && !n.Gone {
				return n.Host
			}
		}
		return ""
	}
	var e Environment
	data := mount.Mount{Name: "data", Path: "/srv/data", From: 101, Volume: "data"}
	lost := mount.Mount{Name: "lost", Path: "/srv/lost", From: 104, Volume: "data"}
	pages := mount.Mount{Name: "pages", Path: "/srv/pages", From: 101, Volume: "pages", ReadOnly: true}
	e.SetMounts("cp", 1, []mount.Mount{data, lost})
	e.SetMounts("cp", 2, []mount.Mount{pages})
	data.Host, pages.Host = h1, h1
	for node, want := range map[int][]mount.Mount{1: {data}, 2: {pages}, 3: nil} {
		if got := e.MountsOf("cp", node, on); !reflect.DeepEqual(got, want) {
			t.Errorf("node %d mounts %+v, want %+v", node, got, want)
		}
	}
	want := []mount.Share{{Volume: "data", To: 102, Host: h2}, {Volume: "pages", To: 103, Host: h1, ReadOnly: true}}
	if got := e.SharesOf(101, nodes); !reflect.DeepEqual(got, want) {
		t.Errorf("shares are %+v, want %+v", got, want)
	}
	if got := e.SharesOf(102, nodes); got != nil {
		t.Errorf("a node whose volumes nobody mounts has shares %+v", got)
	}
	e.SetMounts("cp", 1, nil)
	e.SetMounts("cp", 2, nil)
	if e.Mounts != nil {
		t.Errorf("left: %+v", e.Mounts)
	}
}
