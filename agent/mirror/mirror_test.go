package mirror

import (
	"strings"
	"testing"

	"hardnode.dev/internal/disk/mirror"
	"hardnode.dev/internal/disk/pick"
	"hardnode.dev/internal/wire/install"
	"hardnode.dev/internal/wire/storage"
)

func TestDescribe(t *testing.T) {
	note := mirror.New()
	old, joining := note.Joined()
	a, b := half{disk: "/dev/sda", note: note, there: true, used: 100}, half{disk: "/dev/sdb", note: note, there: true, used: 100}
	with := func(h half, change func(*half)) half { change(&h); return h }
	fills := with(b, func(h *half) { h.note, h.used = joining, 40 })
	found := []pick.Found{{Disk: install.Disk{Path: "/dev/sda", Serial: "S1", Bytes: 1 << 40}}, {Disk: install.Disk{Path: "/dev/sdb"}}}
	for _, c := range []struct {
		name   string
		v      view
		busy   bool
		state  storage.State
		uses   string
		reason string
		source string // the disk that another one is filled from, or a part of why none is
	}{
		{name: "not installed", state: storage.None, source: "was not booted from an installed disk"},
		{name: "one disk", v: view{halves: []half{{disk: "/dev/sda", there: true}}, single: true, mirrored: false}, state: storage.Single,
			source: "lies on one disk"},
		{name: "whole", v: view{halves: []half{a, b}, mirrored: true}, state: storage.Whole, uses: "used used",
			source: "both disks are there"},
		{name: "one is gone", v: view{halves: []half{a, {disk: ""}}}, state: storage.Degraded, uses: "used gone",
			reason: "the other disk is gone", source: "/dev/sda"},
		{name: "the first is gone, and another one that was tried", v: view{halves: []half{{disk: ""}, b, {disk: ""}}},
			state: storage.Degraded, uses: "gone used", reason: "the other disk is gone", source: "/dev/sdb"},
		{name: "reads failed", v: view{halves: []half{a, with(b, func(h *half) { h.errors = 3 })}, mirrored: true}, state: storage.Whole,
			uses: "used failing", reason: "disk /dev/sdb: 3 reads or writes of it failed", source: "both disks are there"},
		{name: "filled", v: view{halves: []half{a, {disk: ""}, fills}}, busy: true, state: storage.Filling, uses: "used gone filling",
			source: "/dev/sda"},
		{name: "begun", v: view{halves: []half{a, {disk: ""}}}, busy: true, state: storage.Filling, uses: "used gone", source: "/dev/sda"},
		{name: "cut short", v: view{halves: []half{fills, with(a, func(h *half) { h.note = old })}}, state: storage.Filling,
			uses: "filling used", reason: "the filling of disk /dev/sdb was cut short; go on with", source: "/dev/sda"},
		{name: "not all is on both", v: view{halves: []half{a, b}}, state: storage.Degraded, uses: "used used",
			reason: "not all lies on both", source: "both disks are there"},
	} {
		var s storage.Status
		c.v.describe(&s, found, c.busy)
		var uses []string
		for _, d := range s.Disks {
			uses = append(uses, string(d.Use))
		}
		if s.State != c.state || strings.Join(uses, " ") != c.uses || !strings.Contains(s.Reason, c.reason) ||
			(c.reason == "") != (s.Reason == "") {
			t.Errorf("%s: got %+v, want %+v", c.name, s, c)
		}
		h, err := c.v.source()
		if got := h.disk; err != nil && !strings.Contains(err.Error(), c.source) || err == nil && got != c.source {
			t.Errorf("%s: filled from %q, %v; want %q", c.name, got, err, c.source)
		}
		if c.name == "filled" && s.Percent != 40 {
			t.Errorf("%s: %d %%", c.name, s.Percent)
		}
	}
}
