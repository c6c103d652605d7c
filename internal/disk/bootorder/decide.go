package bootorder

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/slots"
)

// Record is what a host keeps of its slots (STATE/slots.json): what the loader's entries can't say.
type Record struct {
	Committed slots.Name `json:"committed"`
	Known     []Known    `json:"known"`
	Trial     *Trial     `json:"trial,omitempty"`
}

// Known is what is known of one slot.
type Known struct {
	Slot    slots.Name  `json:"name"`
	State   slots.State `json:"state"` // Good, Staged or Failed; the committed one is Good
	Version string      `json:"version"`
	SHA256  string      `json:"sha256,omitempty"`
	Reason  string      `json:"reason,omitempty"`
}

// Trial is a slot that is to be booted once.
type Trial struct {
	Slot   slots.Name `json:"slot"`
	Within int64      `json:"withinSec"` // of the kernel's start: until then it must be well
	Boot   string     `json:"boot"`      // the boot it was asked for in
	// Back: the slot was good before, and is gone back to: it is committed when it is up.
	Back bool `json:"back,omitempty"`
	// Ran are the containers that ran when it was asked for, which must run in it too.
	Ran []wire.CTID `json:"ran,omitempty"`
}

// Times of a trial: what it has when nobody says, and what may be said.
const (
	Within      = 10 * time.Minute
	LeastWithin = 30 * time.Second
	MostWithin  = 2 * time.Hour
)

// Now is the moment.
type Now struct {
	Entries []Entry    // as they are on the ESP
	Booted  slots.Name // the slot this boot is from
	Boot    string     // this boot's id
	Uptime  time.Duration
	Rescue  bool // there is a rescue system
	// Up: what a slot needs to count as booted. Well: what it needs to be committed besides. Each says what is missing.
	Up, Well []string
	// Running are the containers that run, Wanted those that should.
	Running, Wanted []wire.CTID
}

// Verdict is what follows.
type Verdict struct {
	Record  Record
	Entries []Entry  // as they should be
	Reboot  string   // why the host must go back to the other slot now; "": it stays
	Waits   []string // what a slot on trial is not yet well in
}

// of is what is known of a slot.
func (r Record) of(n slots.Name) (Known, bool) {
	i := slices.IndexFunc(r.Known, func(k Known) bool { return k.Slot == n })
	if i < 0 {
		return Known{Slot: n, State: slots.Empty}, false
	}
	return r.Known[i], true
}

// set changes what is known of a slot. The record it was called on stays as it was.
func (r *Record) set(k Known) {
	r.Known = slices.DeleteFunc(slices.Clone(r.Known), func(x Known) bool { return x.Slot == k.Slot })
	if k.State != slots.Empty {
		r.Known = append(r.Known, k)
	}
	slices.SortFunc(r.Known, func(x, y Known) int { return cmp.Compare(x.Slot, y.Slot) })
}

func (r *Record) mark(n slots.Name, s slots.State, reason string) {
	if k, ok := r.of(n); ok {
		k.State, k.Reason = s, reason
		r.set(k)
	}
}

// Decide looks at how this boot goes. Nothing changes when nothing has to.
func Decide(r Record, n Now) Verdict {
	r.Known = slices.Clone(r.Known)
	for _, e := range n.Entries { // a disk that was just installed, whose STATE is another one, or whose slot the rescue system wrote
		if k, ok := r.of(e.Slot); e.Slot != slots.Rescue && (!ok || k.Version != e.Version && e.Version != "") {
			r.set(Known{Slot: e.Slot, State: slots.Staged, Version: e.Version})
		}
	}
	v := Verdict{Record: r}
	switch t := r.Trial; {
	case n.Booted != slots.A && n.Booted != slots.B: // rescue, or not known: somebody looks at what is there
		v.Entries = n.Entries
		return v
	case t != nil && t.Slot == n.Booted && t.Boot != n.Boot:
		v.trial(n, *t)
	case t != nil && t.Boot != n.Boot: // the other slot came up in its place
		v.Record.Trial = nil
		reason := "the boot loader could not start it, or it ended before it was well"
		if k, _ := r.of(t.Slot); k.State == slots.Failed && k.Reason != "" {
			reason = k.Reason
		}
		v.Record.mark(t.Slot, slots.Failed, reason)
		v.settled(n)
	case t != nil: // asked for in this boot: it comes with the next one
		v.Entries = order(v.Record, n, t.Slot)
	default:
		v.settled(n)
	}
	return v
}

// trial looks at a slot that is tried.
func (v *Verdict) trial(n Now, t Trial) {
	missing := slices.Clone(n.Up)
	if !t.Back {
		missing = append(missing, n.Well...)
		if sick := workload(t.Ran, n); sick != "" {
			missing = append(missing, sick)
		}
	}
	within := time.Duration(t.Within) * time.Second
	switch {
	case len(missing) == 0:
		v.Record.Trial = nil
		v.commit(n.Booted)
		v.Entries = order(v.Record, n, n.Booted)
	case n.Uptime >= within:
		reason := fmt.Sprintf("not well within %s: %s", within, strings.Join(missing, "; "))
		v.Record.mark(n.Booted, slots.Failed, reason)
		v.Reboot = fmt.Sprintf("slot %s was %s", n.Booted, reason)
		v.Entries = order(v.Record, n, n.Booted.Other()) // whatever the counts have come to
	default:
		v.Waits, v.Entries = missing, n.Entries
	}
}

// tolerated is the part of the containers, one in so many, that may be away in a system that is well: one of them may have reasons of its
// own.
const tolerated = 4

// workload says which containers ran before and don't now, though they should; "" when they are few enough.
func workload(ran []wire.CTID, n Now) string {
	var sick []string
	all := 0
	for _, id := range ran {
		if !slices.Contains(n.Wanted, id) {
			continue // it went elsewhere, or was stopped
		}
		if all++; !slices.Contains(n.Running, id) {
			sick = append(sick, id.String())
		}
	}
	if len(sick)*tolerated <= all {
		return ""
	}
	named := strings.Join(sick[:min(len(sick), 4)], ", ")
	if len(sick) > 4 {
		named += ", ..."
	}
	return fmt.Sprintf("%d of %d containers that ran before do not run: %s", len(sick), all, named)
}

// settled looks at a boot in which nothing is tried. Its slot gets its count again when it is up; until then a boot that fails is the
// loader's reason to take the other one.
func (v *Verdict) settled(n Now) {
	v.Entries = n.Entries
	if len(n.Up) > 0 {
		return
	}
	if was := v.Record.Committed; was != n.Booted && was != "" {
		if k, _ := v.Record.of(was); k.State != slots.Failed {
			v.Record.mark(was, slots.Failed, "it was committed, and its last boot ended before it was up")
		}
	}
	v.commit(n.Booted)
	v.Entries = order(v.Record, n, n.Booted)
}

func (v *Verdict) commit(n slots.Name) {
	v.Record.Committed = n
	v.Record.mark(n, slots.Good, "")
}

// Alone is how often a system is booted in a row that does not come up, when there is nothing else to boot but the rescue system: power
// that goes twice while it boots is no reason for that one, which waits for a person.
const Alone = 3

// Waited is the entries of a host that came up and waits for its configuration, while nothing is known of its slots but these: the only
// system of the disk has all its boots again. Where there are two, the one that was booted may be on trial, and its count stays.
func Waited(list []Entry, booted slots.Name) []Entry {
	out := slices.Clone(list)
	for i, e := range list {
		switch {
		case e.Slot == booted && e.Left != Uncounted:
			out[i].Left, out[i].Done = Alone, 0
		case e.Slot != booted && e.Slot != slots.Rescue:
			return list
		}
	}
	return out
}

// order is the entries with one slot first. A slot that failed, or was never tried, keeps out of the way until somebody asks for it; the
// rescue system comes when no other has a boot left. What is gone back to may be booted twice: once more than a cut of the power needs.
func order(r Record, n Now, first slots.Name) (list []Entry) {
	for i, slot := range []slots.Name{first, first.Other()} {
		k, ok := r.of(slot)
		if !ok {
			continue
		}
		other, _ := r.of(slot.Other())
		left := 1
		switch {
		case slot == first && k.State == slots.Good && other.State != slots.Good:
			left = Alone
		case slot != first && k.State == slots.Good:
			left = 2
		case slot != first:
			left = 0
		}
		list = append(list, Entry{Slot: slot, Rank: i + 1, Version: k.Version, Left: left})
	}
	for _, e := range n.Entries {
		if n.Rescue && e.Slot == slots.Rescue {
			list = append(list, Entry{Slot: slots.Rescue, Rank: 3, Version: e.Version, Left: Uncounted})
			break
		}
	}
	return list
}

// Ask applies an action that a person asked for. Its error names the next step.
func Ask(r Record, n Now, what slots.Action, slot slots.Name, within time.Duration) (Verdict, error) {
	v := Verdict{Record: r, Entries: n.Entries}
	v.Record.Known = slices.Clone(r.Known)
	if n.Booted == slots.Rescue {
		return rescued(v, n, what, slot)
	}
	if n.Booted != slots.A && n.Booted != slots.B {
		return v, fmt.Errorf("this host was not booted from slot a or b")
	}
	if slot == "" {
		slot = n.Booted.Other()
	}
	k, _ := r.of(slot)
	tried := r.Trial != nil && r.Trial.Boot != n.Boot
	switch {
	case what == slots.Stay:
		return v.stay(n)
	case slot == n.Booted:
		return v, fmt.Errorf("slot %s is the one that is booted; name the other one", slot)
	case tried && what == slots.Rollback && r.Trial.Slot == n.Booted && k.State == slots.Good: // nobody has to wait for what is unwanted
		v.Record.mark(n.Booted, slots.Failed, "it was ordered to be gone back from before it was well")
	case tried:
		return v, fmt.Errorf("slot %s is being tried; wait until it is committed or the host has gone back", r.Trial.Slot)
	case k.State == slots.Empty:
		return v, fmt.Errorf("slot %s is empty; stage a system into it first", slot)
	}
	switch what {
	case slots.Try:
		within = cmp.Or(within, Within)
		if within < LeastWithin || within > MostWithin {
			return v, fmt.Errorf("within %s: want %s to %s", within, LeastWithin, MostWithin)
		}
		v.Record.Trial = &Trial{Slot: slot, Within: int64(within / time.Second), Boot: n.Boot, Ran: slices.Clone(n.Running)}
	case slots.Rollback:
		if k.State != slots.Good {
			return v, fmt.Errorf("slot %s is %s%s, so it is not gone back to; try it instead", slot, k.State, because(k.Reason))
		}
		v.Record.Trial = &Trial{Slot: slot, Within: int64(Within / time.Second), Boot: n.Boot, Back: true}
	default:
		return v, fmt.Errorf("%s is nothing that is asked of entries", what)
	}
	v.Entries = order(v.Record, n, slot)
	return v, nil
}

// stay takes back what was asked for in this boot: the slot that is booted is booted next.
func (v Verdict) stay(n Now) (Verdict, error) {
	switch t := v.Record.Trial; {
	case t == nil:
		return v, nil
	case t.Boot != n.Boot:
		return v, fmt.Errorf("slot %s is being tried; wait until it is committed, or go back (action rollback)", t.Slot)
	}
	if k, _ := v.Record.of(n.Booted); k.State == slots.Failed {
		return v, fmt.Errorf("slot %s is gone back from: %s", n.Booted, k.Reason)
	}
	v.Record.Trial = nil
	v.Entries = order(v.Record, n, n.Booted)
	return v, nil
}

// Leave is the machine's being left by order. That a slot on trial is left so says nothing against it: it is tried anew by the next boot,
// with all its time. One whose time is over, or that is gone back from, is left for good.
func Leave(r Record, n Now) Verdict {
	v := Verdict{Record: r, Entries: n.Entries}
	t := r.Trial
	if t == nil && n.Booted != "" && n.Booted == r.Committed { // nor against the committed one, whose count comes back when it is up
		v.Entries = order(v.Record, n, n.Booted)
		return v
	}
	if t == nil || t.Slot != n.Booted || t.Boot == n.Boot || n.Uptime >= time.Duration(t.Within)*time.Second {
		return v
	}
	if k, _ := r.of(t.Slot); k.State == slots.Failed {
		return v
	}
	again := *t
	again.Boot = n.Boot
	v.Record.Trial = &again
	v.Entries = order(v.Record, n, t.Slot)
	return v
}

// Chosen is the entries as the loader leaves them that takes a slot: a system that is started without it counts all the same, so that the
// loader takes the other one when it does not come up.
func Chosen(entries []Entry, slot slots.Name) []Entry {
	list := slices.Clone(entries)
	for i, e := range list {
		if e.Slot == slot && e.Left > 0 {
			list[i].Left, list[i].Done = e.Left-1, e.Done+1
		}
	}
	return list
}

// rescued is what is asked of the rescue system. It doesn't know the record, and leaves it as it is: a slot gets one boot, and is judged
// when it is up.
func rescued(v Verdict, n Now, what slots.Action, slot slots.Name) (Verdict, error) {
	if slot == "" {
		slot = slots.A
		if slices.ContainsFunc(n.Entries, func(e Entry) bool { return e.Slot == slots.B && e.Rank == 1 }) {
			slot = slots.B
		}
	}
	at := slices.IndexFunc(n.Entries, func(e Entry) bool { return e.Slot == slot })
	switch {
	case what != slots.Try:
		return v, fmt.Errorf("this is the rescue system, which does not know which slot was good; boot one of them once (action try)")
	case at < 0:
		return v, fmt.Errorf("slot %s is empty; fill it first (slots copy), or boot a medium and install from it", slot)
	}
	v.Entries = slices.Clone(n.Entries)
	for i, e := range v.Entries {
		switch e.Slot {
		case slot:
			v.Entries[i] = Entry{Slot: slot, Rank: 1, Version: e.Version, Left: 1}
		case slot.Other():
			v.Entries[i].Rank = 2
		}
	}
	return v, nil
}

// Rescued says of the slots why none of them was booted, for people.
func Rescued(entries []Entry) string {
	var all []string
	for _, name := range []slots.Name{slots.A, slots.B} {
		what := "is empty"
		if i := slices.IndexFunc(entries, func(e Entry) bool { return e.Slot == name }); i >= 0 {
			what = fmt.Sprintf("(%s) did not come up", entries[i].Version)
			if entries[i].Left != 0 && entries[i].Done == 0 {
				what = fmt.Sprintf("(%s) was not booted", entries[i].Version)
			}
		}
		all = append(all, fmt.Sprintf("slot %s %s", name, what))
	}
	return strings.Join(all, "; ")
}

func because(reason string) string {
	if reason == "" {
		return ""
	}
	return " (" + reason + ")"
}

// restaged is the entries of a host whose rescue system writes a slot: that one waits until somebody asks for it. Its record is told by its
// next boot.
func restaged(entries []Entry, k Known) []Entry {
	e := Entry{Slot: k.Slot, Rank: 1, Version: k.Version}
	list := slices.DeleteFunc(slices.Clone(entries), func(x Entry) bool { return x.Slot == k.Slot })
	if slices.ContainsFunc(list, func(x Entry) bool { return x.Rank == 1 }) {
		e.Rank = 2
	}
	if k.Version != "" {
		list = append(list, e)
	}
	return list
}

// Stage says that a slot holds another system now, which nobody tried. It is called with Version "" before the slot is written to.
func Stage(r Record, n Now, k Known) (Verdict, error) {
	v := Verdict{Record: r}
	switch {
	case n.Booted == slots.Rescue:
		v.Entries = restaged(n.Entries, k)
		return v, nil
	case k.Slot == n.Booted:
		return v, fmt.Errorf("slot %s is the one that is booted", k.Slot)
	case r.Trial != nil && r.Trial.Boot != n.Boot:
		return v, fmt.Errorf("slot %s is being tried, and %s is what the host goes back to; wait until it is committed", r.Trial.Slot,
			k.Slot)
	case k.Slot == r.Committed:
		return v, fmt.Errorf("slot %s is the committed one; it is replaced when another one was committed", k.Slot)
	}
	v.Record.Trial = nil
	k.State, k.Reason = slots.Staged, ""
	if k.Version == "" {
		k.State = slots.Empty
	}
	v.Record.set(k)
	v.Entries = order(v.Record, n, n.Booted)
	return v, nil
}

// Next is the slot that the loader takes at the next boot: exhausted entries last, then by rank (systemd-boot 252).
func Next(entries []Entry) slots.Name {
	if len(entries) == 0 {
		return ""
	}
	return slices.MinFunc(entries, func(x, y Entry) int {
		spent := func(e Entry) int {
			if e.Left == 0 {
				return 1
			}
			return 0
		}
		return cmp.Or(cmp.Compare(spent(x), spent(y)), cmp.Compare(x.Rank, y.Rank), cmp.Compare(y.Left, x.Left))
	}).Slot
}
