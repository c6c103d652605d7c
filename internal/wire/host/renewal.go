package host

import (
	"crypto/sha256"
	"encoding/json"
	"reflect"
	"slices"
	"time"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/strain"
)

// WholeEvery is how often a report is whole, whatever it says, as long as the host has newer figures: those of containers that the
// orchestrator has are as old as that at most, beside what the host itself has. StillEvery is how often it is whole in any case.
const (
	WholeEvery = 10 * time.Second
	StillEvery = time.Minute
)

// Due tells whether o must be whole though it is Steady: r, which was, is of so long ago, and o has newer figures, or it is time anyway.
func (r *Report) Due(o *Report, ago time.Duration) bool {
	still := oneList(r.Containers, o.Containers) && reflect.DeepEqual(r.Disks, o.Disks) && reflect.DeepEqual(r.Boots, o.Boots) &&
		reflect.DeepEqual(r.Protection, o.Protection)
	return ago >= StillEvery || ago >= WholeEvery && !still
}

// oneList tells whether two reports have the very same list of containers.
func oneList(a, b []ContainerStatus) bool {
	return len(a) == len(b) && (len(a) == 0 || &a[0] == &b[0])
}

// Steady tells whether two reports say the same of what an unchanged renewal leaves out: the containers, but for how much each uses, what
// gossip says of the other hosts, and how its system is. Its boots and its protection are the same as long as it runs, and the health of
// its disks may be as old as a whole report.
//
// Hosts look at containers less often than they report: of one list, which nobody changes once it is in a report, nothing is compared.
func (r *Report) Steady(o *Report) bool {
	return (oneList(r.Containers, o.Containers) || slices.EqualFunc(r.Containers, o.Containers, func(a, b ContainerStatus) bool {
		same := a.Started.Equal(b.Started) && a.NextStart.Equal(b.NextStart)
		for _, s := range [...]*ContainerStatus{&a, &b} {
			s.Started, s.NextStart, s.MemoryBytes, s.CPUMicros, s.DiskBytes, s.Volumes = time.Time{}, time.Time{}, 0, 0, 0, nil
			s.Strain = strain.Strain{}
		}
		return same && reflect.DeepEqual(a, b)
	})) && slices.Equal(r.Gossip, o.Gossip) && r.System.Same(o.System)
}

// Sum is the digest of what an unchanged renewal leaves out.
func (r *Report) Sum() wire.Digest {
	raw, _ := json.Marshal(struct {
		Boot       string
		Seq        int64
		Containers []ContainerStatus
		Gossip     []GossipView
		System     *SystemStatus `json:",omitempty"`
	}{r.Boot, r.Seq, r.Containers, r.Gossip, r.System})
	return wire.DigestOf(sha256.Sum256(raw))
}

// Shorten makes an unchanged renewal of r, which says of its containers, of gossip and of its system what the whole report with that digest
// said.
func (r *Report) Shorten(digest wire.Digest) {
	r.Containers, r.Gossip, r.Boots, r.System, r.Protection, r.Digest, r.Unchanged = nil, nil, nil, nil, nil, "", digest
	r.Disks = nil
}

// Complete makes a whole report of an unchanged renewal. False: last, which may be nil, is not the report that it means, so the host must
// send a whole one.
func (r *Report) Complete(last *Report) bool {
	if last == nil || last.Boot != r.Boot || last.Digest == "" || last.Digest != r.Unchanged {
		return false
	}
	r.Containers, r.Gossip, r.Boots, r.System = last.Containers, last.Gossip, last.Boots, last.System
	r.Protection, r.Disks, r.Digest, r.Unchanged = last.Protection, last.Disks, last.Digest, ""
	return true
}
