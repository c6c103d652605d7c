package backup

import (
	"strings"
	"testing"

	"hardnode.dev/internal/disk/btrfs"
	"hardnode.dev/internal/testkit/golden"
)

func TestGolden(t *testing.T) {
	golden.Wire[Create](t, "create")
	golden.Wire[Take](t, "take")
	golden.Wire[Taken](t, "taken")
	golden.Wire[Keep](t, "keep")
	golden.Wire[Head](t, "head")
}

func TestValidate(t *testing.T) {
	for _, p := range []Part{{Is: btrfs.Identity{UUID: btrfs.UUID{9}, Transid: 7}}, {Volume: "data"}} {
		if got, err := ParsePart(p.Text()); got != p || err != nil {
			t.Errorf("%s: got %+v, %v", p.Text(), got, err)
		}
	}
	for _, s := range []string{"", "::", "a:b", "../x:" + btrfs.UUID{}.String() + ":1", ":00:1", ":" + btrfs.UUID{}.String() + ":x"} {
		if p, err := ParsePart(s); err == nil {
			t.Errorf("%q is %+v", s, p)
		}
	}
	for _, r := range []Resume{{1, Mark{9}}, {1 << 40, Mark{}}} {
		if got, err := ParseResume(r.Text()); got != r || err != nil {
			t.Errorf("%s: got %+v, %v", r.Text(), got, err)
		}
	}
	for _, s := range []string{"", "1", "1:00", "x:" + strings.Repeat("0", 64), "1:" + strings.Repeat("x", 64)} {
		if r, err := ParseResume(s); err == nil {
			t.Errorf("%q is %+v", s, r)
		}
	}
	is := btrfs.Identity{UUID: btrfs.UUID{1}, Transid: 2}
	head := func(change func(*Head)) error {
		h := Head{ID: "20261127-101502", Node: 100, Parts: []Part{{Is: is}, {Volume: "data", Is: is}}}
		change(&h)
		return h.Validate()
	}
	good := Create{Recipient: "age1" + strings.Repeat("q", 58)}
	for name, c := range map[string]struct {
		err  error
		want string
	}{
		"good":           {head(func(*Head) {}), ""},
		"id":             {head(func(h *Head) { h.ID = "../x" }), "backup"},
		"id of letters":  {head(func(h *Head) { h.ID = "new-1" }), "want one that is listed"},
		"before":         {head(func(h *Head) { h.Before = "." }), "backup"},
		"no parts":       {head(func(h *Head) { h.Parts = nil }), "has 0 parts"},
		"many parts":     {head(func(h *Head) { h.Parts = make([]Part, 65) }), "has 65 parts"},
		"twice":          {head(func(h *Head) { h.Parts[1].Volume = "" }), "twice"},
		"volume":         {head(func(h *Head) { h.Parts[1].Volume = "../../etc" }), "volume name"},
		"no identity":    {head(func(h *Head) { h.Parts[0].Is = btrfs.Identity{} }), "no identity"},
		"from nothing":   {head(func(h *Head) { h.Parts[0].From = is }), "not named"},
		"create":         {good.Validate(), ""},
		"no recipient":   {Create{}.Validate(), "recipient"},
		"recipient":      {Create{Recipient: "age1\nx"}.Validate(), "recipient"},
		"a key":          {Create{Recipient: "AGE-SECRET-KEY-1"}.Validate(), "recipient"},
		"snapshot":       {Create{Recipient: good.Recipient, Snapshot: "a/b"}.Validate(), "backup"},
		"resume":         {Create{Recipient: good.Recipient, Snapshot: "1", Resume: &Resume{Bytes: 1}}.Validate(), ""},
		"resume nothing": {Create{Recipient: good.Recipient, Snapshot: "1", Resume: &Resume{}}.Validate(), "0 bytes"},
		"resume unnamed": {Create{Recipient: good.Recipient, Resume: &Resume{Bytes: 1}}.Validate(), "of which"},
		"take":           {Take{1}.Validate(), ""},
		"take none":      {Take{}.Validate(), "0 backups"},
		"take very many": {Take{257}.Validate(), "257 backups"},
	} {
		if c.want == "" && c.err != nil || c.want != "" && (c.err == nil || !strings.Contains(c.err.Error(), c.want)) {
			t.Errorf("%s: got %v, want %q", name, c.err, c.want)
		}
	}
}
