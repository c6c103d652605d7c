package hosttest

import (
	"encoding/json"
	"time"

	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/install"
	"hardnode.dev/internal/wire/scrub"
	"hardnode.dev/internal/wire/slots"
	"hardnode.dev/internal/wire/storage"
	"hardnode.dev/internal/wire/usage"
)

// disk answers what is asked of a host's disks: it has one, and two systems on it.
func (h *Host) disk(r host.SessionRequest) (answer string, exit host.Exit) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.mu.refuses != "" {
		return "", host.Exit{Code: 125, Error: h.mu.refuses}
	}
	var v any
	if a := r.Install; a != nil {
		s := install.Status{State: install.None, Disks: []install.Disk{{Path: "/dev/sda", Holds: "nothing"}}}
		if a.Do != nil {
			s.State, s.Plan = install.Running, &install.Plan{Disk: s.Disks[0], Wipes: a.Do.Wipe, Partitions: []install.Partition{},
				Steps: []string{"mark /dev/sda", "reboot from it"}}
			if a.Do.DryRun {
				s.State = install.Planned
			}
		}
		v = s
	} else if a := r.Usage; a != nil {
		v = h.used(*a)
	} else if a := r.Storage; a != nil {
		s := storage.Status{State: storage.Degraded, Reason: "the other disk is gone", Disks: []storage.Half{{Path: "/dev/sda",
			Use: storage.Used}, {Use: storage.Gone}}, Scrub: &scrub.Status{}}
		if a.Scrub {
			s.Scrub.Began = time.Now().UTC()
		}
		if a.Do != nil {
			s.Steps = []string{"partition /dev/sdb", "copy DATA onto it"}
			if !a.Do.DryRun {
				s.State, s.Step = storage.Filling, 1
			}
		}
		v = s
	} else {
		s := slots.Status{Installed: true, Disk: "/dev/sda", Slots: []slots.Slot{{Name: slots.A, State: slots.Committed, Booted: true},
			{Name: slots.B, State: slots.Good}}}
		if a := r.Slots.Do; a != nil && a.Action == slots.Try {
			s.Slots[1].State, s.Slots[1].Next = slots.Trying, true
		}
		v = s
	}
	raw, err := json.Marshal(v)
	if err != nil {
		panic("BUG: an answer does not encode: " + err.Error())
	}
	return string(raw), host.Exit{}
}

// used is what one container used in a minute, or, where none is named, what each did that it has.
func (h *Host) used(a usage.Ask) usage.Answer {
	one := usage.Record{CTID: a.CTID, Revision: a.Since + 1, End: 1_700_000_000, Seconds: 60, MemoryMean: 32 << 20, MemoryPeak: 48 << 20,
		CPUMicros: 6_000_000}
	out := usage.Answer{Book: "0123456789abcdef", Next: a.Since + 1, MHz: 2000, Records: []usage.Record{one}}
	if a.CTID != 0 {
		return out
	}
	out.Records = []usage.Record{}
	for _, c := range h.mu.work.Containers {
		r := one
		r.CTID, r.Env, r.Account, r.RAMMean, r.RAMPeak, r.RAMPeakAt = c.CTID, c.Env, c.Account.Owner(), 20<<20, 40<<20, one.End-5
		out.Records = append(out.Records, r)
	}
	return out
}
