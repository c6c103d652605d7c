// Package meter counts what each container uses, and keeps it until it has been read.
//
// Owns: the records of use on DATA and their revisions; a descriptor of memory.peak for each container, for up to mostPeaks.
// In: the counters of cgroups and links, the disk space that others measured, whose containers are, two clocks.
// Out: records of 5 seconds (for 10 minutes, in memory), of minutes (24 hours) and of hours (35 days), pulled by revision.
// Never: counts by a clock that can be set, forgets what it could not write, or says what use costs.
//
// A record has the counters as they were, so that the next agent goes on where this one ended. What is lost: the use of a container between
// the last sample and its end, 5 seconds at most (a minute of what the kernel writes back for one that uses no processor time); and, where
// the agent is killed, that of containers that ended since the last minute's record. An hour is 60 minutes' records, and each of these a
// minute, or longer while the disk is full or no agent ran.
//
// The memory that counts (usage.Record.RAMPeak) is that of the samples, without page cache. A container that is frozen has none: one that
// freezes has its memory counted until the next minute's record. One that does not run has records of minutes with its disk alone.
package meter

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"hardnode.dev/internal/logging"
	"hardnode.dev/internal/run"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/usage"
)

// How often containers are looked at, and how many looks are in a minute's record, how many records in an hour's.
const (
	every     = 5 * time.Second
	perMinute = int(time.Minute / every)
	perHour   = usage.PerHour
)

// Most of one answer: it ends with the first revision beyond.
const mostRecords = 3000

// Options are what a meter needs.
type Options struct {
	Dir    string                     // on DATA
	Cgroup string                     // parent of the containers' cgroups
	Boot   string                     // name of this boot
	Disk   func() map[wire.CTID]int64 // bytes that containers have on DATA, running or not, as last measured; nil: not known
	Whose  func() map[wire.CTID]Whose // whose containers are; nil: not known
	MHz    func() int64               // base frequency of one processor; nil: not known
	Log    *slog.Logger               // nil discards
}

// Whose says whose a container is, and how many cloudlets are reserved for it.
type Whose struct {
	Env      wire.EnvName
	Account  wire.Account
	Reserved int
}

// Meter counts. Its methods may be called at once.
type Meter struct {
	o      Options
	log    *slog.Logger
	kernel *kernel // Run's alone

	mu struct {
		sync.Mutex
		book     string // "": what is on the disk could not be opened yet
		accounts map[wire.CTID]*account
		minutes  shelf
		hours    shelf
		looks    int           // since the last minute's record
		since    int64         // when that was, in nanoseconds since the boot
		sample   wire.Revision // of the samples: the time when the meter began, and a count
		full     bool          // the last record could not be written
	}
}

// New makes a meter that Run starts.
func New(o Options) *Meter {
	m := &Meter{o: o, log: logging.Or(o.Log), kernel: newKernel(o.Cgroup, o.Boot)}
	m.mu.accounts = map[wire.CTID]*account{}
	m.mu.minutes = shelf{dir: filepath.Join(o.Dir, "minute"), per: perHour, keep: 25}
	m.mu.hours = shelf{dir: filepath.Join(o.Dir, "hour"), per: 24, keep: 36}
	m.mu.sample, m.mu.since = wire.Revision(time.Now().Unix()), sinceBoot()
	return m
}

// Run counts until ctx ends.
func (m *Meter) Run(ctx context.Context) error {
	return run.Every(ctx, every, func(context.Context) error {
		m.look(time.Now())
		return nil
	})
}

// look reads all containers, and writes a minute's record when it is time.
func (m *Meter) look(now time.Time) {
	var disk map[wire.CTID]int64
	if m.o.Disk != nil {
		disk = m.o.Disk()
	}
	m.mu.Lock()
	whole := m.mu.looks+1 >= perMinute // the next record's last look
	m.mu.Unlock()
	list := m.kernel.read(disk, whole)
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.opened() {
		return
	}
	m.mu.sample++
	for id, a := range m.mu.accounts {
		if _, there := list[id]; !there {
			a.gone = true
		}
	}
	var whose map[wire.CTID]Whose // asked for once, if one is new
	for id, r := range list {
		a := m.mu.accounts[id]
		if a == nil {
			if whose == nil {
				whose = m.whose()
			}
			a = &account{whose: whose[id]}
			m.mu.accounts[id] = a
		}
		a.take(id, r, now, m.mu.sample)
	}
	if m.mu.looks++; m.mu.looks >= perMinute {
		m.minute(now, disk)
	}
}

// whose asks whose containers are.
func (m *Meter) whose() map[wire.CTID]Whose {
	if m.o.Whose != nil {
		if all := m.o.Whose(); all != nil {
			return all
		}
	}
	return map[wire.CTID]Whose{}
}

// opened opens what is on the disk, until that succeeds; the lock is held.
func (m *Meter) opened() bool {
	if m.mu.book != "" {
		return true
	}
	err := m.mu.minutes.open()
	if err == nil {
		err = m.mu.hours.open()
	}
	var book string
	if err == nil {
		book, err = name(m.o.Dir)
	}
	if err == nil {
		err = m.resume()
	}
	if err != nil {
		m.mu.minutes.files, m.mu.hours.files = nil, nil
		m.trouble(err)
		return false
	}
	m.mu.book, m.mu.full = book, false
	m.sum()
	return true
}

// resume takes the counters of the last records up; the lock is held.
func (m *Meter) resume() error {
	last := max(m.mu.minutes.last-perHour, 0) // a container that did not run in the last minutes may have been read in an earlier one
	return m.mu.minutes.each(last, func(_ header, body []byte) bool {
		for _, e := range entries(body, 0) {
			m.mu.accounts[e.CTID] = &account{last: e.Mark, gone: true, whose: Whose{e.Env, e.Account, e.Reserved}}
		}
		return true
	})
}

// name is that of the series of revisions, made once.
func name(dir string) (string, error) {
	path := filepath.Join(dir, "book")
	if b, err := os.ReadFile(path); err == nil && len(strings.TrimSpace(string(b))) == 16 {
		return strings.TrimSpace(string(b)), nil
	}
	raw := make([]byte, 8)
	if _, err := rand.Read(raw); err != nil {
		return "", fmt.Errorf("name the records of use: %w", err)
	}
	text := hex.EncodeToString(raw)
	if err := os.WriteFile(path, []byte(text+"\n"), 0o600); err != nil {
		return "", fmt.Errorf("name the records of use: %w", err)
	}
	return text, nil
}

// minute writes what was used since the last record, and what others that did not run have on disk. If it can't be written, it is part of
// the next one; the lock is held.
func (m *Meter) minute(now time.Time, disk map[wire.CTID]int64) {
	var list []entry
	whose, at := m.whose(), sinceBoot()
	for id, a := range m.mu.accounts {
		if w, there := whose[id]; there { // one that is being removed stays whose it was
			a.whose = w
		}
		if a.open.Seconds > 0 {
			list = append(list, entry{a.whose.on(a.open), a.last})
		}
	}
	took := time.Duration(at - m.mu.since).Seconds()
	for id, bytes := range disk {
		if a := m.mu.accounts[id]; (a == nil || a.open.Seconds == 0) && bytes > 0 && took > 0 {
			list = append(list, entry{Record: whose[id].on(usage.Record{CTID: id, Seconds: took, Disk: bytes})})
		}
	}
	slices.SortFunc(list, func(x, y entry) int { return cmp.Compare(x.CTID, y.CTID) })
	if err := m.mu.minutes.add(now.Unix(), list); err != nil {
		m.trouble(err)
		m.mu.looks = perMinute - 1 // again at the next look
		return
	}
	if m.mu.full {
		m.log.Info("records of use are written again")
	}
	m.mu.looks, m.mu.full, m.mu.since = 0, false, at
	for id, a := range m.mu.accounts {
		if a.open = (usage.Record{}); a.gone {
			delete(m.mu.accounts, id)
		}
	}
	m.kernel.reset()
	m.sum()
}

// on is a record of what is whose w says.
func (w Whose) on(r usage.Record) usage.Record {
	r.Env, r.Account, r.Reserved = w.Env, w.Account, w.Reserved
	return r
}

// sum makes the records of hours that are complete and not there yet; the lock is held.
func (m *Meter) sum() {
	for m.mu.hours.last < m.mu.minutes.last/perHour {
		type part struct { // of a container that went to another account there is one of each
			id wire.CTID
			of wire.Account
		}
		hour := map[part]usage.Record{}
		first, end := m.mu.hours.last*perHour, int64(0)
		err := m.mu.minutes.each(first, func(h header, body []byte) bool {
			if h.revision > first+perHour {
				return false
			}
			end = h.end
			for _, e := range entries(body, 0) {
				at := part{e.CTID, e.Account}
				hour[at] = hour[at].Add(e.Record)
			}
			return true
		})
		list := make([]entry, 0, len(hour))
		for _, r := range hour {
			list = append(list, entry{Record: r})
		}
		slices.SortFunc(list, func(x, y entry) int { return cmp.Or(cmp.Compare(x.CTID, y.CTID), cmp.Compare(x.Account, y.Account)) })
		if err == nil {
			err = m.mu.hours.add(end, list)
		}
		if err != nil {
			m.trouble(err) // after the next minute it is tried again
			return
		}
	}
}

func (m *Meter) trouble(err error) {
	if !m.mu.full {
		m.log.Warn("use is counted and not written: it is written with what comes later", logging.Err, err)
	}
	m.mu.full = true
}

// Answer gives the records that are asked for.
func (m *Meter) Answer(_ context.Context, a usage.Ask) (usage.Answer, error) {
	if err := a.Validate(); err != nil {
		return usage.Answer{}, err
	}
	m.mu.Lock()
	out := usage.Answer{Book: m.mu.book, Records: []usage.Record{}, Next: a.Since}
	if m.o.MHz != nil {
		out.MHz = m.o.MHz()
	}
	from := m.mu.minutes
	if a.Step == usage.Hour {
		from = m.mu.hours
	}
	from.files = slices.Clone(from.files)
	if a.Step == usage.Sample {
		out.Records, out.Next = m.samples(a), m.mu.sample
	}
	m.mu.Unlock()
	if out.Book == "" {
		return out, fmt.Errorf("the records of use can't be read: see the host's log: hnctl host logs")
	}
	if a.Step == usage.Sample {
		return out, nil
	}
	out.Gone = from.gone()
	err := from.each(a.Since, func(h header, body []byte) bool {
		if len(out.Records) >= mostRecords {
			out.More = true
			return false
		}
		out.Next = h.revision
		if h.end >= a.From {
			for _, e := range entries(body, a.CTID) {
				e.End = h.end
				out.Records = append(out.Records, e.Record)
			}
		}
		return true
	})
	return out, err
}

// samples are the last ones; the lock is held.
func (m *Meter) samples(a usage.Ask) []usage.Record {
	out := []usage.Record{}
	for id, acc := range m.mu.accounts {
		for _, s := range acc.samples {
			if (a.CTID == 0 || a.CTID == id) && s.Revision > a.Since && s.End >= a.From {
				out = append(out, s)
			}
		}
	}
	slices.SortFunc(out, func(x, y usage.Record) int {
		return cmp.Or(cmp.Compare(x.Revision, y.Revision), cmp.Compare(x.CTID, y.CTID))
	})
	return out
}
