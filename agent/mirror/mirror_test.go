package mirror

import (
	"fmt"
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
		add    string // the same where one is added; "": as source
	}{
		{name: "not installed", state: storage.None, source: "was not booted from an installed disk"},
		{name: "one disk", v: view{halves: []half{{disk: "/dev/sda", there: true}}, single: true, mirrored: false}, state: storage.Single,
			source: "lies on one disk", add: "/dev/sda"},
		{name: "whole", v: view{halves: []half{a, b}, mirrored: true}, state: storage.Whole, uses: "used used",
			source: "both disks are there", add: "and both are there; more than two can't be"},
		{name: "one is gone", v: view{halves: []half{a, {disk: ""}}}, state: storage.Degraded, uses: "used gone",
			reason: "the other disk is gone", source: "/dev/sda"},
		{name: "the first is gone, and another one that was tried", v: view{halves: []half{{disk: ""}, b, {disk: ""}}},
			state: storage.Degraded, uses: "gone used", reason: "the other disk is gone", source: "/dev/sdb"},
		{name: "reads failed", v: view{halves: []half{a, with(b, func(h *half) { h.errors = 3 })}, mirrored: true}, state: storage.Whole,
			uses: "used failing", reason: "disk /dev/sdb: 3 reads or writes of it failed", source: "both disks are there",
			add: "and both are there"},
		{name: "filled", v: view{halves: []half{a, {disk: ""}, fills}}, busy: true, state: storage.Filling, uses: "used gone filling",
			source: "/dev/sda"},
		{name: "begun", v: view{halves: []half{a, {disk: ""}}}, busy: true, state: storage.Filling, uses: "used gone", source: "/dev/sda"},
		{name: "cut short", v: view{halves: []half{fills, with(a, func(h *half) { h.note = old })}}, state: storage.Filling,
			uses: "filling used", reason: "the filling of disk /dev/sdb was cut short; go on with", source: "/dev/sda"},
		{name: "not all is on both", v: view{halves: []half{a, b}}, state: storage.Degraded, uses: "used used",
			reason: "not all lies on both", source: "both disks are there", add: "and both are there"},
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
		for _, add := range []bool{false, true} {
			want := c.source
			if add && c.add != "" {
				want = c.add
			}
			h, err := c.v.source(add)
			if got := h.disk; err != nil && !strings.Contains(err.Error(), want) || err == nil && got != want {
				t.Errorf("%s: filled from %q, %v; want %q", c.name, got, err, want)
			}
		}
		if fills := c.v.filling(); fills != strings.Contains(c.uses, "filling") {
			t.Errorf("%s: filling is %v", c.name, fills)
		}
		if c.name == "filled" && s.Percent != 40 {
			t.Errorf("%s: %d %%", c.name, s.Percent)
		}
	}
}

// TestSecond: what keeps a host on one disk from having a second one.
func TestSecond(t *testing.T) {
	const miB = 1 << 20
	var many []string
	for i := range mostListed + 2 {
		many = append(many, fmt.Sprintf("volume db of node %d", 100+i))
	}
	for _, c := range []struct {
		name      string
		encrypted bool
		size      int64
		free      int64
		inPlace   []string
		want      string // "": nothing does
	}{
		{name: "none", size: 9000 * miB, free: 900 * miB},
		{name: "a large one", size: 1 << 42, free: 1 << 30},
		{name: "encrypted", encrypted: true, size: 9000 * miB, free: 900 * miB, want: "STATE of this host is encrypted"},
		{name: "full", size: 9000 * miB, free: 899 * miB,
			want: "DATA of this host has 899 MiB that no block group takes, and 900 MiB are needed"},
		{name: "a large one that is full", size: 1 << 42, free: 1<<30 - 1,
			want: "has 1023 MiB that no block group takes, and 1024 MiB are needed"},
		{name: "written in place", size: 9000 * miB, free: 900 * miB, inPlace: many[:1],
			want: "which disk is right: volume db of node 100; move these nodes to other hosts (hnctl node move)"},
		{name: "many", size: 9000 * miB, free: 900 * miB, inPlace: many, want: "volume db of node 109 and 2 more; move"},
	} {
		err := view{size: c.size, free: c.free, single: true}.second(c.encrypted, c.inPlace)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
}

// TestSteps: the plan says when DATA gets smaller.
func TestSteps(t *testing.T) {
	for has, want := range map[int64]string{20 << 30: "copy DATA onto it", 30 << 30: "copy DATA onto it",
		19 << 30: "copy DATA onto it, which is the smaller one: DATA has room for 19 GiB then, not 20 GiB"} {
		if s := steps("/dev/sda", "/dev/sdb", 20<<30, has); s[stepData-1] != want {
			t.Errorf("%d bytes: %q, want %q", has, s[stepData-1], want)
		}
	}
}

// TestJoins: a wish for what is under way is no error, one for another disk is.
func TestJoins(t *testing.T) {
	m := New(Options{})
	ask := func(r storage.Replace) string {
		joins, err := m.joins(r)
		if err != nil {
			return err.Error()
		}
		return fmt.Sprint(joins)
	}
	if got := ask(storage.Replace{}); got != "false" {
		t.Errorf("nothing is under way: %s", got)
	}
	m.mu.busy, m.mu.target = true, pick.Found{Disk: install.Disk{Path: "/dev/sdb", Serial: "S2"}}
	for want, list := range map[string][]storage.Replace{
		"true": {{}, {Add: true}, {Disk: install.Rule{Serial: "S*"}}, {Disk: install.Rule{Path: "/dev/sdb"}, Wipe: "/dev/sdb"}},
		"a disk is being filled; wait for it (hnctl host disk show); it is /dev/sdb, and another one is wished": {
			{Disk: install.Rule{Path: "/dev/sdc"}}, {Wipe: "/dev/sdc"}},
	} {
		for _, r := range list {
			if got := ask(r); got != want {
				t.Errorf("%+v: %s, want %s", r, got, want)
			}
		}
	}
}
