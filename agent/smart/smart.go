// Package smart asks the machine's disks for their health, and says which are failing.
//
// Owns: the health log of NVMe, SMART of ATA, the log pages of SCSI: how they are asked for and what they mean.
// In: /sys and /dev; what btrfs counts of the disks that it lies on.
// Out: a value for each disk; problems of the host.
// Never: writes to a disk, but for what btrfs counts of it, starts a test of it, or waits longer than its time for one that does not
// answer.
package smart

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"hardnode.dev/agent/install"
	"hardnode.dev/internal/logging"
	"hardnode.dev/internal/run"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/smart"
	"hardnode.dev/internal/wire/storage"
)

// Options are what a Keeper needs.
type Options struct {
	Sys, Dev string // /sys and /dev
	// Errors are what btrfs counts, by disk.
	Errors func() map[string]int64
	// Forget has those of a disk be counted anew, if there are so many.
	Forget func(path string, seen int64) (counted int64, err error)
	// Mirrored tells whether somebody else tells the problems of the disks that Errors has (agent/mirror).
	Mirrored func() bool
	Log      *slog.Logger // nil discards
}

// Keeper asks. Its methods may be called at once.
type Keeper struct {
	o    Options
	ask  func(path string, k kind) (smart.Health, error)
	wait time.Duration
	log  *slog.Logger
	mu   struct {
		sync.Mutex
		disks []smart.Health
		asked map[string]time.Time // those that have not answered yet, since when
	}
}

// New makes one.
func New(o Options) *Keeper {
	k := &Keeper{o: o, ask: ask, wait: patience, log: logging.Or(o.Log)}
	k.mu.asked = map[string]time.Time{}
	return k
}

const (
	every    = 10 * time.Minute
	patience = 20 * time.Second // for the answers of all disks, which are asked at once
)

// Run asks until ctx ends.
func (k *Keeper) Run(ctx context.Context) error {
	said := map[string]smart.State{}
	return run.Every(ctx, every, func(ctx context.Context) error {
		for _, d := range k.look(ctx, time.Now()) {
			if was := said[d.Path]; was != d.State && (was == smart.Failing || d.State == smart.Failing || d.State == smart.Watch) {
				k.log.Warn("the health of a disk is another", "disk", d.Path, "model", d.Model, "serial", d.Serial, "health", d.Line())
			}
			said[d.Path] = d.State
		}
		return nil
	})
}

// kind is how a disk is asked.
type kind string

const (
	nvmeDisk kind = "nvme"
	ataDisk  kind = "ata"
	scsiDisk kind = "scsi"
	noKind   kind = ""
)

// found is one disk of the machine.
type found struct {
	smart.Health
	kind kind
}

// find lists the machine's disks: whole ones that stay in it.
func (k *Keeper) find() (list []found) {
	sys := filepath.Join(k.o.Sys, "block")
	names, err := os.ReadDir(sys)
	if err != nil {
		return nil
	}
	is := func(name, file, want string) bool {
		raw, err := os.ReadFile(filepath.Join(sys, name, file))
		return err == nil && strings.TrimSpace(string(raw)) == want
	}
	for _, n := range names {
		name := n.Name()
		if _, err := os.Stat(filepath.Join(sys, name, "device")); err != nil { // made of others, or of memory
			continue
		}
		if strings.HasPrefix(name, "sr") || is(name, "removable", "1") || is(name, "hidden", "1") {
			continue
		}
		about := install.About(sys, name)
		f := found{Health: smart.Health{Path: filepath.Join(k.o.Dev, name), Model: clean(about.Model), Serial: clean(about.Serial)}}
		switch {
		case strings.HasPrefix(name, "nvme"):
			f.kind = nvmeDisk
		case strings.HasPrefix(name, "sd") && is(name, "device/vendor", "ATA"): // libata, and adapters that translate (SAT-4)
			f.kind = ataDisk
		case strings.HasPrefix(name, "sd"):
			f.kind = scsiDisk
		}
		if list = append(list, f); len(list) == smart.Most {
			break
		}
	}
	return list
}

// clean is what a disk calls itself, as far as it can be shown.
func clean(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return -1
		}
		return r
	}, s)
	return s[:min(len(s), 64)]
}

// look asks all disks, at once, and waits for their answers, but not for ever: a disk that does not answer is not asked again before it
// has, since nothing can take back what was asked.
func (k *Keeper) look(ctx context.Context, now time.Time) []smart.Health {
	list := k.find()
	ctx, cancel := context.WithTimeout(ctx, k.wait)
	defer cancel()
	type answer struct {
		path string
		smart.Health
		err error
	}
	answers := make(chan answer, len(list)) // room for all: who is late does not wait for a reader
	waits := map[string]bool{}
	for _, f := range list {
		k.mu.Lock()
		_, still := k.mu.asked[f.Path]
		if !still && f.kind != noKind {
			k.mu.asked[f.Path], waits[f.Path] = now, true
		}
		k.mu.Unlock()
		if !waits[f.Path] {
			continue
		}
		go func() { // bounded by the kernel's own time for a command; the agent's end ends it
			d, err := k.ask(f.Path, f.kind)
			k.mu.Lock()
			delete(k.mu.asked, f.Path)
			k.mu.Unlock()
			answers <- answer{f.Path, d, err}
		}()
	}
	got := map[string]answer{}
	for len(got) < len(waits) && ctx.Err() == nil {
		select {
		case a := <-answers:
			got[a.path] = a
		case <-ctx.Done():
		}
	}
	errs := k.o.Errors()
	out := make([]smart.Health, 0, len(list))
	for _, f := range list {
		d := f.Health
		a, answered := got[f.Path]
		k.mu.Lock()
		since, still := k.mu.asked[f.Path]
		k.mu.Unlock()
		switch {
		case answered && a.err == nil:
			d = a.Health
			d.Path, d.Model, d.Serial = f.Path, f.Model, f.Serial
		case f.kind == noKind, answered && errors.Is(a.err, errSilent):
			d.State, d.Reason = smart.Unknown, "no health information"
		case answered:
			d.State, d.Reason = smart.Unknown, a.err.Error()
		default:
			d.State, d.Reason = late(since, still, now)
		}
		out = append(out, counted(d, errs[f.Path]))
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.mu.disks = out
	return slices.Clone(out)
}

// Forget has the errors of a disk be counted anew that a person has seen, and looks at the disks again.
func (k *Keeper) Forget(ctx context.Context, want storage.Acknowledge) (counted int64, err error) {
	if err := want.Validate(); err != nil {
		return 0, err
	}
	counted, err = k.o.Forget(want.Disk, want.Errors)
	if counted > 0 {
		k.log.Warn("the errors of a disk are acknowledged, and counted anew", "disk", want.Disk, "errors", counted)
		k.look(ctx, time.Now())
	}
	return counted, err
}

// late is the state of a disk that was asked and has not answered in its time.
func late(since time.Time, still bool, now time.Time) (smart.State, string) {
	if still && now.Sub(since) > every/2 { // it was asked the time before
		return smart.Failing, "it has not answered since " + since.UTC().Format(time.RFC3339)
	}
	return smart.Watch, "it has not told its health in time"
}

// counted is a disk with what btrfs counts of it.
func counted(d smart.Health, errs int64) smart.Health {
	if d.Errors = errs; errs > 0 {
		words := fmt.Sprintf("%d reads or writes of it failed", errs)
		if d.Reason != "" {
			words = d.Reason + "; " + words
		}
		d.State, d.Reason = smart.Failing, words
	}
	return d
}

// Disks are the disks as they were at the last look.
func (k *Keeper) Disks() []smart.Health {
	k.mu.Lock()
	defer k.mu.Unlock()
	return slices.Clone(k.mu.disks)
}

// Problems are the disks that are failing.
func (k *Keeper) Problems() (ps []host.Problem) {
	for _, d := range k.Disks() {
		if d.State != smart.Failing || d.Errors > 0 && k.o.Mirrored() {
			continue
		}
		name := d.Path
		if about := strings.Join(strings.Fields(d.Model+" "+d.Serial), " "); about != "" {
			name += " (" + about + ")"
		}
		ps = append(ps, host.Problem{Code: "unavailable", Object: "disk " + name, Reason: "it is failing: " + d.Reason,
			Next: "take what can't be lost elsewhere (hnctl host drain), and replace the disk"})
	}
	return ps
}
