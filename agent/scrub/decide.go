package scrub

import (
	"fmt"
	"time"

	"hardnode.dev/internal/disk/btrfs"
	"hardnode.dev/internal/wire/scrub"
)

// What is decided by.
const (
	every    = 30 * 24 * time.Hour // a scrub begins so long after the last one ended
	slice    = 256 << 20           // bytes of a device that are scrubbed at a time: a second of a slow disk, for which no signal is heard
	few      = 1 << 30             // so little free of block groups, and less than a twentieth: some are given back
	spare    = 2 << 30             // that must be allotted to data without being used
	emptier  = 50                  // percent: only block groups that are used less are moved
	patience = time.Hour           // after a balance that found none, or an error
	sweep    = time.Hour           // between looks for quota groups that nothing counts in; the first is at the agent's start
)

// low is from how little room for metadata on a host says so, and gives back what data does not use: a fiftieth of its disks, a GiB at
// most. From half of it on nothing new is made there, so that what runs goes on for longer.
func low(total int64) int64 { return min(max(total/50, 16<<20), 1<<30) }

// kept is what is remembered over restarts.
type kept struct {
	Began      time.Time `json:"began,omitzero"`
	Ended      time.Time `json:"ended,omitzero"`
	Since      time.Time `json:"since"` // when this host began to look after its DATA
	Device     uint64    `json:"device"`
	At         int64     `json:"at"` // what of Device is scrubbed
	Bytes      int64     `json:"bytes"`
	Corrected  uint64    `json:"corrected"`
	Unreadable uint64    `json:"unreadable"`
	Wanted     bool      `json:"wanted,omitempty"` // somebody asked for one
}

// seen is DATA at one moment.
type seen struct {
	devices        []btrfs.Device
	data, metadata btrfs.Space
}

func (s seen) total() (sum int64) {
	for _, d := range s.devices {
		sum += d.Bytes
	}
	return sum
}

// free is what no block group takes.
func (s seen) free() (sum int64) {
	for _, d := range s.devices {
		sum += d.Bytes - d.Used
	}
	return sum
}

// room is how much more metadata finds room, at most; -1: not known.
func (s seen) room() int64 {
	return scrub.Status{Metadata: scrub.Space(s.metadata), Free: s.free()}.Room()
}

// lacks says in words that metadata has little room; "" when it has enough. closed: nothing new is made there.
func (s seen) lacks() (words string, closed bool) {
	room, least := s.room(), low(s.total())
	if room < 0 || room >= least {
		return "", false
	}
	return fmt.Sprintf("metadata (names, owners and small files) takes %d MiB, and at most %d MiB more find room: "+
		"%d MiB of the disk are not allotted, and of what data was allotted %d MiB are not used", s.metadata.Used>>20, room>>20,
		s.free()>>20, (s.data.Allotted-s.data.Used)>>20), room < least/2
}

// next is when a scrub begins by itself.
func (k kept) next() time.Time {
	if k.Ended.IsZero() {
		return k.Since.Add(every)
	}
	return k.Ended.Add(every)
}

// underWay tells whether a scrub has begun and not ended.
func (k kept) underWay() bool { return !k.Began.IsZero() && k.Ended.Before(k.Began) }

// part is what is scrubbed next; ok is false when nothing is left.
func (k kept) part(s seen) (device uint64, from, to int64, ok bool) {
	for _, d := range s.devices {
		switch {
		case d.ID < k.Device || d.Path == "": // done, or missing
		case d.ID == k.Device && k.At < d.Bytes:
			return d.ID, k.At, min(k.At+slice, d.Bytes), true
		case d.ID > k.Device && d.Bytes > 0:
			return d.ID, 0, min(slice, d.Bytes), true
		}
	}
	return 0, 0, 0, false
}

// percent is how far a scrub is.
func (k kept) percent(s seen) int {
	var done int64
	for _, d := range s.devices {
		switch {
		case d.ID < k.Device:
			done += d.Bytes
		case d.ID == k.Device:
			done += min(k.At, d.Bytes)
		}
	}
	if s.total() == 0 {
		return 0
	}
	return int(100 * done / s.total())
}

// short tells whether metadata could soon be refused more room while data has much that it does not use.
func (s seen) short() bool {
	if room := s.room(); room >= 0 && room < low(s.total()) && s.data.Allotted-s.data.Used > low(s.total()) {
		return true
	}
	return s.free() < few && s.free() < s.total()/20 && s.data.Allotted-s.data.Used > min(spare, s.total()/10)
}
