package scrub

import (
	"strings"
	"testing"
	"time"

	"hardnode.dev/internal/disk/btrfs"
)

// TestParts: the parts of a scrub are all of each disk that is there, once, also when it goes on after a restart.
func TestParts(t *testing.T) {
	const gib = 1 << 30
	s := seen{devices: []btrfs.Device{{ID: 1, Path: "/dev/sda", Bytes: gib + 5}, {ID: 2, Bytes: 3 * gib},
		{ID: 3, Path: "/dev/sdb", Bytes: 100}}}
	at := time.Date(2026, 11, 27, 10, 0, 0, 0, time.UTC)
	k := kept{Began: at}
	sum, n, last := map[uint64]int64{}, 0, 0
	for {
		device, from, to, ok := k.part(s)
		if !ok {
			break
		}
		if from != sum[device] || to-from > slice || to <= from {
			t.Fatalf("device %d: from %d to %d after %d", device, from, to, sum[device])
		}
		sum[device] += to - from
		k.Device, k.At = device, to
		if p := k.percent(s); p < last || p > 100 {
			t.Errorf("%d %% after %d %%", p, last)
		} else {
			last = p
		}
		if n++; n > 100 {
			t.Fatal("it does not end")
		}
	}
	if sum[1] != gib+5 || sum[3] != 100 || len(sum) != 2 || !k.underWay() {
		t.Errorf("scrubbed: %v", sum)
	}
	k.Ended = at.Add(time.Hour)
	if k.underWay() || !k.next().Equal(k.Ended.Add(every)) {
		t.Errorf("under way %v, next %s", k.underWay(), k.next())
	}
	again := kept{Began: k.Ended.Add(time.Minute), Ended: k.Ended}
	if !again.underWay() {
		t.Error("a second one is not under way")
	}
	if first := (kept{Since: at}); first.underWay() || !first.next().Equal(at.Add(every)) {
		t.Errorf("the first one: %s", first.next())
	}
}

// TestLacks: a host says that metadata has little room, and then takes nothing new, before it has none.
func TestLacks(t *testing.T) {
	const mib = 1 << 20
	disk := func(bytes, free, allotted, used, copies int64) seen {
		return seen{devices: []btrfs.Device{{ID: 1, Bytes: bytes, Used: bytes - free}},
			data:     btrfs.Space{Allotted: bytes / 2, Used: bytes / 10},
			metadata: btrfs.Space{Allotted: allotted, Used: used, Reserved: 10 * mib, Copies: copies}}
	}
	for name, c := range map[string]struct {
		s      seen
		room   int64
		words  string
		closed bool
	}{
		"new":              {disk(1000*mib, 800*mib, 50*mib, mib, 2), 439 * mib, "", false},
		"nearly allotted":  {disk(1000*mib, 4*mib, 50*mib, 10*mib, 2), 32 * mib, "", false},
		"little":           {disk(1000*mib, 4*mib, 50*mib, 25*mib, 2), 17 * mib, "takes 25 MiB, and at most 17 MiB more find room", false},
		"one copy":         {disk(1000*mib, 4*mib, 50*mib, 25*mib, 1), 19 * mib, "at most 19 MiB more", false},
		"closed":           {disk(1000*mib, 0, 50*mib, 31*mib, 2), 9 * mib, "data was allotted 400 MiB are not used", true},
		"into the reserve": {disk(1000*mib, 0, 50*mib, 45*mib, 2), 0, "at most 0 MiB more", true},
		"a big disk":       {disk(4000000*mib, 0, 5000*mib, 3900*mib, 2), 1090 * mib, "", false},
		"a full big disk":  {disk(4000000*mib, 0, 5000*mib, 4000*mib, 2), 990 * mib, "at most 990 MiB more", false},
		"not looked at":    {seen{}, -1, "", false},
	} {
		words, closed := c.s.lacks()
		room := c.s.room()
		if room != c.room || !strings.Contains(words, c.words) || (words == "") != (c.words == "") || closed != c.closed {
			t.Errorf("%s: room for %d MiB, %q, closed %v; want %d MiB, %q, %v", name, room/mib, words, closed, c.room/mib, c.words,
				c.closed)
		}
		if said := c.s.closed(); (said != "") != closed || closed && !strings.Contains(said, words) {
			t.Errorf("%s: the words for who places are %q, and closed is %v", name, said, closed)
		}
		if c.words != "" && !c.s.short() {
			t.Errorf("%s: nothing of what data does not use is given back", name)
		}
	}
}

func TestShort(t *testing.T) {
	const gib = 1 << 30
	for name, c := range map[string]struct {
		disk, allotted, dataAllotted, dataUsed int64
		want                                   bool
	}{
		"new":                               {100 * gib, 5 * gib, 3 * gib, gib, false},
		"data has much that it doesn't use": {100 * gib, 99*gib + gib/2, 97 * gib, 50 * gib, true},
		"full of data":                      {100 * gib, 99*gib + gib/2, 97 * gib, 96 * gib, false},
		"a small disk":                      {2 * gib, 2*gib - gib/100, gib, gib / 2, true},
		"room is left":                      {100 * gib, 98 * gib, 97 * gib, 50 * gib, false},
	} {
		s := seen{devices: []btrfs.Device{{ID: 1, Bytes: c.disk, Used: c.allotted}},
			data: btrfs.Space{Allotted: c.dataAllotted, Used: c.dataUsed}}
		if got := s.short(); got != c.want {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}
