package templates

import (
	"strings"
	"testing"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/orchestrator/store"
)

// TestUsedByUndo: while an edit can be undone, what its nodes were made of before is in use, whatever the tag stands for by now.
func TestUsedByUndo(t *testing.T) {
	d := func(c string) wire.Digest { return wire.Digest("sha256:" + strings.Repeat(c, 64)) }
	s := store.NewMemory()
	put := func(n store.Node) {
		if _, err := s.Update(t.Context(), func(tx *store.Tx) error { store.Nodes.Put(tx, n.CTID.String(), n); return nil }); err != nil {
			t.Fatal(err)
		}
	}
	n := store.Node{CTID: 101, Env: "shop", Container: host.Container{CTID: 101, Account: "acme",
		Image: host.Image{Name: "web:2", Digest: d("b")}}}
	n.Made = &store.Made{Before: &store.Before{Container: host.Container{Image: host.Image{Name: "web:1", Digest: d("a")}}}}
	put(n)
	if by := Used(s.View()).Users("web:1", d("a"), false); len(by) != 1 || !strings.Contains(by[0], "undoing an edit") {
		t.Errorf("while the edit can be undone: used by %q", by)
	}
	n.Made = nil
	put(n)
	if by := Used(s.View()).Users("web:1", d("a"), false); len(by) != 0 {
		t.Errorf("when it is over: used by %q", by)
	}
}

// TestMeant: what a person names is one template of the list, or a name of the registry's.
func TestMeant(t *testing.T) {
	d := func(c string) wire.Digest { return wire.Digest("sha256:" + strings.Repeat(c, 64)) }
	tpl := func(name string, file, oci wire.Digest) host.Template {
		return host.Template{Image: host.Image{Name: wire.TemplateName(name), Digest: file}, OCI: oci}
	}
	all := []host.Template{tpl("team/web:1", d("a"), d("b")), tpl("team/web:2", d("a"), d("b")), tpl("team/web:3", d("c"), d("e")),
		tpl("web:1", d("a"), d("b"))}
	all[2].Digest = wire.Digest("sha256:" + strings.Repeat("a", 20) + strings.Repeat("0", 44))
	for name, c := range map[string]struct {
		ref   string
		going string
		code  operator.Code
	}{
		"team/web:1":                      {"team/web:1", "team/web:1", ""},
		"team/web":                        {"team/web:latest", "", ""},
		"other:9":                         {"other:9", "", ""},
		"team/web@" + string(d("a")):      {"team/web@" + string(d("b")), "team/web:1 team/web:2", ""},
		"team/web@" + string(d("b")):      {"team/web@" + string(d("b")), "team/web:1 team/web:2", ""},
		"team/web:1@" + d("b").Hex()[:12]: {"team/web@" + string(d("b")), "team/web:1 team/web:2", ""},
		"web@aaaaaaaaaaaa":                {"web@" + string(d("b")), "web:1", ""},
		"team/web@aaaaaaaaaaaa":           {"", "", operator.Invalid}, // two begin so
		"team/web@" + string(d("f")):      {"team/web@" + string(d("f")), "", ""},
		"team/web@ffffffffffff":           {"", "", operator.NotFound},
		"team/web@aaaa":                   {"", "", operator.Invalid},
		"team/web@sha256:zzzzzzzzzzzz":    {"", "", operator.Invalid},
		"team/web@" + d("a").Hex() + "0":  {"", "", operator.Invalid},
		"../used":                         {"", "", operator.Invalid},
		"@" + string(d("a")):              {"", "", operator.Invalid},
		"":                                {"", "", operator.Invalid},
	} {
		ref, going, p := Meant(name, all)
		var names []string
		for _, g := range going {
			names = append(names, string(g.Name))
		}
		switch {
		case p != nil && (p.Code != c.code || p.Next == ""), p == nil && c.code != "":
			t.Errorf("%q: got %+v, want %q", name, p, c.code)
		case ref != c.ref || strings.Join(names, " ") != c.going:
			t.Errorf("%q: got %q with %v, want %q with %s", name, ref, names, c.ref, c.going)
		}
	}
}
