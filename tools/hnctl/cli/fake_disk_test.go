package cli

import (
	"encoding/json"
	"net/http"
	"strconv"
	"time"

	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/install"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/internal/wire/scrub"
	"hardnode.dev/internal/wire/slots"
	"hardnode.dev/internal/wire/smart"
	"hardnode.dev/internal/wire/storage"
)

// disks has hosts answer for their disks and systems.
func (f *fake) disks(mux *http.ServeMux) {
	path := operator.Prefix + "/hosts/{host}/"
	status := install.Status{State: install.Planned, Plan: &install.Plan{Disk: install.Disk{Path: "/dev/sda", Model: "QEMU", Holds: "NTFS"},
		Wipes: "NTFS", Source: "boot medium /dev/sdb1", Partitions: []install.Partition{}, Steps: []string{"wipe /dev/sda",
			"reboot from it"}}}
	mux.HandleFunc("POST "+path+"install", func(w http.ResponseWriter, r *http.Request) {
		var want install.Spec
		json.NewDecoder(r.Body).Decode(&want)
		if want.Wipe == "" {
			refuse(w, operator.Conflict, "hosts/infra-1", "not installed: disk /dev/sda: it holds NTFS", "see hnctl host slots infra-1")
			return
		}
		reply(w, 202, status)
	})
	all := map[string]*storage.Status{
		"infra-1": {State: storage.Degraded, Reason: "the other disk is gone", Disks: []storage.Half{
			{Path: "/dev/sda", Use: storage.Used, Model: "QEMU", Serial: "S1", Bytes: 10 << 30}, {Use: storage.Gone}},
			Health: []smart.Health{{Path: "/dev/sda", Model: "QEMU", Serial: "S1", State: smart.Failing,
				Reason: "it says that it will fail soon", Celsius: 36, Hours: 5000, Reallocated: 2, Errors: 12}}},
		"host-1": {State: storage.None}, "host-2": {State: storage.Single}}
	mux.HandleFunc("GET "+path+"disks", func(w http.ResponseWriter, r *http.Request) {
		s := all[r.PathValue("host")]
		if s.State == storage.Filling {
			s.State, s.Steps, s.Step, s.Reason = storage.Whole, nil, 0, ""
		}
		reply(w, 200, s)
	})
	mux.HandleFunc("POST "+path+"disks/scrub", func(w http.ResponseWriter, r *http.Request) {
		if r.PathValue("host") == "host-1" { // of an earlier release
			reply(w, 202, storage.Status{})
			return
		}
		s := *all[r.PathValue("host")]
		s.Scrub = &scrub.Status{Began: time.Date(2026, 11, 27, 10, 0, 0, 0, time.UTC), Percent: 4, Bytes: 512 << 20, Unreadable: 2,
			Data:     scrub.Space{Allotted: 2 << 30, Used: 1 << 30},
			Metadata: scrub.Space{Allotted: 256 << 20, Used: 64 << 20, Reserved: 32 << 20, Copies: 2}, Free: 7 << 30,
			Moved: 3, Moving: true, Balanced: time.Date(2026, 11, 28, 9, 0, 0, 0, time.UTC)}
		reply(w, 202, s)
	})
	mux.HandleFunc("POST "+path+"disks/acknowledge", func(w http.ResponseWriter, r *http.Request) {
		var want storage.Acknowledge
		json.NewDecoder(r.Body).Decode(&want)
		if want.Errors != 12 {
			refuse(w, operator.Conflict, "hosts/infra-1", "disk /dev/sda: 12 reads or writes of it failed, and not "+
				strconv.FormatInt(want.Errors, 10), "see hnctl host slots infra-1")
			return
		}
		s := *all[r.PathValue("host")]
		s.Health, s.Acknowledged = nil, 12
		reply(w, 200, s)
	})
	mux.HandleFunc("POST "+path+"disks", func(w http.ResponseWriter, r *http.Request) {
		var want storage.Replace
		json.NewDecoder(r.Body).Decode(&want)
		name := r.PathValue("host")
		s := *all[name]
		switch {
		case s.State == storage.Single && !want.Add:
			refuse(w, operator.Conflict, "hosts/"+name, "this host lies on one disk, so it has none to replace; hnctl host disk add gives "+
				"it a second one", "see hnctl host disk show "+name)
			return
		case s.State == storage.Whole:
			refuse(w, operator.Conflict, "hosts/"+name, "this host lies on two disks (/dev/sda, /dev/sdb), and both are there; more than "+
				"two can't be", "see hnctl host disk show "+name)
			return
		case s.State == storage.Degraded && want.Wipe == "":
			refuse(w, operator.Conflict, "hosts/"+name, "no disk is taken: disk /dev/sdb: it holds NTFS", "see hnctl host disk show "+name)
			return
		}
		s.Steps = []string{"partition /dev/sdb", "copy DATA onto it"}
		if !want.DryRun {
			s.State, s.Step = storage.Filling, 1
			*all[name] = s
		}
		reply(w, 202, s)
	})
	systems := slots.Status{Installed: true, Disk: "/dev/sda", Slots: []slots.Slot{
		{Name: slots.A, State: slots.Committed, Version: "0.1.0", Booted: true, Next: true, Tries: 1, Bytes: 40 << 20},
		{Name: slots.B, State: slots.Failed, Version: "0.2.0", Reason: "not well within 10m0s: gossip is not up"}}}
	mux.HandleFunc("GET "+path+"slots", func(w http.ResponseWriter, r *http.Request) {
		if r.PathValue("host") == "host-1" {
			reply(w, 200, slots.Status{})
			return
		}
		reply(w, 200, systems)
	})
	mux.HandleFunc("POST "+path+"slots", func(w http.ResponseWriter, r *http.Request) {
		var want slots.Request
		json.NewDecoder(r.Body).Decode(&want)
		if want.Action == slots.Rollback {
			refuse(w, operator.Conflict, "hosts/infra-1", "slot b is failed, so it is not gone back to; try it instead",
				"see hnctl host slots")
			return
		}
		s := systems
		if want.Action == slots.Copy {
			s.Busy = "a system is being written"
		}
		reply(w, 202, s)
	})
	f.systems(mux, path+"system")
}

// systems has infra-1 take orders, and be done with them at the next look; release 9.9.9 fails. Host-1 is not installed.
func (f *fake) systems(mux *http.ServeMux, path string) {
	is := operator.HostSystem{Status: &host.SystemStatus{Release: "1.1.0", Slot: slots.A, State: host.SystemIdle}}
	mux.HandleFunc("GET "+path, func(w http.ResponseWriter, r *http.Request) {
		if r.PathValue("host") == "host-1" {
			reply(w, 200, operator.HostSystem{Status: &host.SystemStatus{Release: "1.1.0", State: host.SystemIdle,
				Reason: "not installed: it boots what its medium or the network serves"}})
			return
		}
		f.mu.Lock()
		defer f.mu.Unlock()
		if o := is.Wanted; o != nil && is.Status.Order != o.Order {
			s := host.SystemStatus{Release: "1.1.0", Slot: slots.A, Order: o.Order, Target: o.Release, State: host.SystemDone}
			switch {
			case o.Release == "9.9.9":
				s.State, s.Reason = host.SystemFailed, "not well within 10m0s: gossip is not up"
			case o.Step == "stage":
				s.State, s.Fetched, s.Total, s.Bytes = host.SystemStaged, 3<<20, 40<<20, 40<<20
			default:
				s.Release, s.Slot = o.Release, slots.B
			}
			is.Status = &s
		}
		reply(w, 200, is)
	})
	mux.HandleFunc("PUT "+path, func(w http.ResponseWriter, r *http.Request) {
		var o operator.OrderSystem
		json.NewDecoder(r.Body).Decode(&o)
		if r.PathValue("host") == "host-1" {
			refuse(w, operator.Conflict, "hosts/host-1/system", "the host is not installed", "install it (hnctl host install)")
			return
		}
		f.mu.Lock()
		defer f.mu.Unlock()
		is.Wanted = &operator.WantedSystem{Release: o.Release, Step: o.Step, WithinSec: o.WithinSec, Reason: o.Reason, By: "admin",
			Order: o.Release + o.Step, At: f.now}
		reply(w, 200, is)
	})
	mux.HandleFunc("DELETE "+path, func(w http.ResponseWriter, r *http.Request) {
		f.mu.Lock()
		defer f.mu.Unlock()
		is.Wanted = nil
		reply(w, 200, is)
	})
}
