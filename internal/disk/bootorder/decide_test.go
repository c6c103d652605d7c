package bootorder

import (
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/slots"
)

// machine is a host, its loader and its firmware, as values.
type machine struct {
	entries []Entry
	record  Record
	boots   int
	bad     map[slots.Name]fault
}

// fault is what is wrong with a slot's system.
type fault int

const (
	whole  fault = iota
	dead         // it can't be loaded, or panics early
	sick         // its agent comes up, and is never well
	silent       // its agent never comes up; init sends the host back
)

// power boots once: the loader takes an entry and counts, the system does what it does. It returns the slot and how it went.
func (m *machine) power() (slots.Name, string) {
	m.boots++
	slot := Next(m.entries)
	i := slices.IndexFunc(m.entries, func(e Entry) bool { return e.Slot == slot })
	if e := &m.entries[i]; e.Left > 0 {
		e.Left, e.Done = e.Left-1, e.Done+1
	}
	now := Now{Entries: m.entries, Booted: slot, Boot: strings.Repeat("x", m.boots)}
	switch m.bad[slot] {
	case dead, silent:
		return slot, "ended"
	case sick:
		now.Well = []string{"the orchestrator"}
	}
	for _, now.Uptime = range []time.Duration{time.Minute, time.Hour} {
		v := Decide(m.record, now)
		m.record, m.entries = v.Record, v.Entries
		if now.Entries = m.entries; v.Reboot != "" {
			return slot, v.Reboot
		}
	}
	return slot, "up"
}

func (m *machine) ask(t *testing.T, what slots.Action) {
	t.Helper()
	v, err := Ask(m.record, m.now(), what, "", 0)
	if err != nil {
		t.Fatal(err)
	}
	m.record, m.entries = v.Record, v.Entries
}

func (m *machine) now() Now {
	return Now{Entries: m.entries, Booted: m.record.Committed, Boot: strings.Repeat("x", m.boots)}
}

// stage puts another system into the slot that is not booted.
func (m *machine) stage(t *testing.T, f fault) {
	t.Helper()
	slot := m.record.Committed.Other()
	for _, version := range []string{"", "0.2.0"} {
		v, err := Stage(m.record, m.now(), Known{Slot: slot, Version: version})
		if err != nil {
			t.Fatal(err)
		}
		m.record, m.entries = v.Record, v.Entries
	}
	m.bad[slot] = f
}

func installed() *machine {
	return &machine{entries: []Entry{{slots.A, 1, "0.1.0", Alone, 0}}, bad: map[slots.Name]fault{}}
}

func (m *machine) state(n slots.Name) (slots.State, string) {
	k, _ := m.record.of(n)
	return k.State, k.Reason
}

// A good system is tried, committed, and booted from then on; one that is not is gone back from, with the reason.
func TestTrial(t *testing.T) {
	for _, c := range []struct {
		name   string
		fault  fault
		boots  int // until the host is up and settled
		slot   slots.Name
		reason string
	}{
		{"whole", whole, 1, slots.B, ""},
		{"dead", dead, 2, slots.A, "could not start it"},
		{"silent", silent, 2, slots.A, "could not start it"},
		{"sick", sick, 2, slots.A, "not well within 10m0s: the orchestrator"},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := installed()
			m.power()
			if m.record.Committed != slots.A || m.entries[0].Left != Alone {
				t.Fatalf("after the first boot: %+v, %+v", m.record, m.entries)
			}
			m.stage(t, c.fault)
			if slot, _ := m.power(); slot != slots.A {
				t.Fatalf("booted %s, which nobody asked for", slot)
			}
			m.ask(t, slots.Try)
			for i := range c.boots {
				if slot, how := m.power(); i == c.boots-1 && (slot != c.slot || how != "up") {
					t.Errorf("boot %d is from %s: %s", i+1, slot, how)
				}
			}
			if s, reason := m.state(slots.B); m.record.Committed != c.slot || m.record.Trial != nil || !strings.Contains(reason,
				c.reason) ||
				(s == slots.Failed) != (c.slot == slots.A) {
				t.Errorf("at the end: %+v", m.record)
			}
			for range 3 {
				if slot, how := m.power(); slot != c.slot || how != "up" {
					t.Errorf("later: %s, %s", slot, how)
				}
			}
		})
	}
}

// Power that goes twice while the only system boots is no reason for the rescue system, which would wait for a person; a system that never
// comes up is.
func TestOnlySystem(t *testing.T) {
	for _, c := range []struct {
		name string
		cuts int
		want slots.Name
	}{{"two cuts", 2, slots.A}, {"it never comes up", 3, slots.Rescue}} {
		m := installed()
		m.entries = append(m.entries, Entry{Slot: slots.Rescue, Rank: 3, Version: "0.1.0", Left: Uncounted})
		for range 2 { // as it was installed, and once it was up
			m.bad[slots.A] = dead
			for range c.cuts {
				if slot, _ := m.power(); slot != slots.A {
					t.Errorf("%s: slot %s was booted", c.name, slot)
				}
			}
			m.bad[slots.A] = whole
			if slot, _ := m.power(); slot != c.want {
				t.Errorf("%s: slot %s was booted then, want %s", c.name, slot, c.want)
			}
			if c.want != slots.A {
				break
			}
		}
	}
}

// A system in which containers don't run that did before is not well, unless they are few, or were not to run any more.
func TestWorkload(t *testing.T) {
	ids := func(n ...wire.CTID) []wire.CTID { return n }
	for _, c := range []struct {
		name                 string
		ran, wanted, running []wire.CTID
		waits                string
	}{
		{"nothing ran", nil, ids(100), nil, ""},
		{"all run", ids(100, 101), ids(100, 101), ids(100, 101), ""},
		{"one of one", ids(100), ids(100), nil, "1 of 1 containers that ran before do not run: 100"},
		{"one of four", ids(100, 101, 102, 103), ids(100, 101, 102, 103), ids(100, 101, 102), ""},
		{"one of three", ids(100, 101, 102), ids(100, 101, 102), ids(100, 101), "1 of 3 containers that ran before do not run: 102"},
		{"three of four", ids(100, 101, 102, 103), ids(100, 101, 102, 103), ids(101),
			"3 of 4 containers that ran before do not run: 100, 102, 103"},
		{"six of six", ids(1, 2, 3, 4, 5, 6), ids(1, 2, 3, 4, 5, 6), nil, "6 of 6 containers that ran before do not run: 1, 2, 3, 4, ..."},
		{"they went elsewhere", ids(100, 101), nil, nil, ""},
		{"a new one does not start", ids(100), ids(100, 101), ids(100), ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := installed()
			m.power()
			m.stage(t, whole)
			now := m.now()
			now.Running = c.ran
			v, err := Ask(m.record, now, slots.Try, "", time.Minute)
			if err != nil {
				t.Fatal(err)
			}
			now = Now{Entries: v.Entries, Booted: slots.B, Boot: "next", Running: c.running, Wanted: c.wanted}
			got := Decide(v.Record, now)
			if strings.Join(got.Waits, "; ") != c.waits || (got.Record.Committed == slots.B) != (c.waits == "") {
				t.Errorf("waits for %q, want %q; %+v", got.Waits, c.waits, got.Record)
			}
			now.Uptime = time.Minute
			if got = Decide(v.Record, now); (got.Reboot != "") != (c.waits != "") || !strings.Contains(got.Reboot, c.waits) {
				t.Errorf("at its deadline: %q", got.Reboot)
			}
			// What is gone back to is not asked for them.
			back := v.Record
			back.Trial.Back = true
			if now.Uptime = 0; Decide(back, now).Record.Committed != slots.B {
				t.Error("it is not gone back to")
			}
		})
	}
}

// A system that is started without the loader is gone back from as one that it chose: whatever resets the machine brings the other one.
func TestStartedWithoutLoader(t *testing.T) {
	for _, f := range []fault{whole, dead, silent, sick} {
		m := installed()
		m.power()
		m.stage(t, f)
		m.ask(t, slots.Try)
		m.entries = Chosen(m.entries, slots.B)
		m.boots++
		n := Now{Entries: m.entries, Booted: slots.B, Boot: strings.Repeat("x", m.boots), Uptime: time.Minute}
		if f == sick {
			n.Well, n.Uptime = []string{"the orchestrator"}, time.Hour
		}
		if f == whole || f == sick {
			v := Decide(m.record, n)
			if m.record, m.entries = v.Record, v.Entries; (v.Reboot != "") != (f == sick) {
				t.Errorf("fault %d: goes back: %q", f, v.Reboot)
			}
		}
		want := slots.A
		if f == whole {
			want = slots.B
		}
		if slot, how := m.power(); slot != want || how != "up" {
			t.Errorf("fault %d: then comes %s: %s", f, slot, how)
		}
	}
	m := installed() // the booted one again: what it had left is one less
	m.power()
	if e := Chosen(m.entries, slots.A); e[0].Left != Alone-1 || e[0].Done != 1 || m.entries[0].Left != Alone {
		t.Errorf("chosen again: %+v, before %+v", e, m.entries)
	}
}

// A committed slot that stops to boot is left for the other good one at once.
func TestCommittedDies(t *testing.T) {
	m := installed()
	m.power()
	m.stage(t, whole)
	m.ask(t, slots.Try)
	m.power()
	m.bad[slots.B] = dead
	if slot, _ := m.power(); slot != slots.B {
		t.Fatalf("booted %s", slot)
	}
	if slot, how := m.power(); slot != slots.A || how != "up" {
		t.Errorf("then %s: %s", slot, how)
	}
	if s, reason := m.state(slots.B); s != slots.Failed || !strings.Contains(reason, "ended before it was up") {
		t.Errorf("b is %s: %s", s, reason)
	}
}

// starts boots once, and stops as soon as the loader has chosen: the system is not well yet.
func (m *machine) starts() Now {
	m.boots++
	slot := Next(m.entries)
	i := slices.IndexFunc(m.entries, func(e Entry) bool { return e.Slot == slot })
	if e := &m.entries[i]; e.Left > 0 {
		e.Left, e.Done = e.Left-1, e.Done+1
	}
	n := Now{Entries: m.entries, Booted: slot, Boot: strings.Repeat("x", m.boots), Uptime: time.Minute, Well: []string{"gossip"}}
	v := Decide(m.record, n)
	m.record, m.entries, n.Entries = v.Record, v.Entries, v.Entries
	return n
}

// A slot that is tried is left by order: the next boot tries it again, and is judged as the first would have been.
func TestLeftWhileTried(t *testing.T) {
	for _, f := range []fault{whole, sick, dead} {
		m := installed()
		m.power()
		m.stage(t, f)
		m.ask(t, slots.Try)
		for range 3 {
			n := m.starts()
			if n.Booted != slots.B {
				t.Fatalf("booted %s", n.Booted)
			}
			v := Leave(m.record, n)
			if m.record, m.entries = v.Record, v.Entries; Next(m.entries) != slots.B {
				t.Fatalf("next comes %+v", m.entries)
			}
		}
		m.power()
		want, state := slots.B, slots.Good
		if f != whole {
			want, state = slots.A, slots.Failed
		}
		if slot, how := m.power(); slot != want || how != "up" {
			t.Errorf("fault %d: %s, %s", f, slot, how)
		}
		if s, reason := m.state(slots.B); s != state {
			t.Errorf("fault %d: b is %s: %s", f, s, reason)
		}
	}
}

// A committed slot that is left by order before it was up is booted again.
func TestLeftBeforeUp(t *testing.T) {
	m := installed()
	m.power()
	m.stage(t, whole)
	m.ask(t, slots.Try)
	m.power()
	for range 3 {
		m.boots++
		m.entries = Chosen(m.entries, slots.B)
		n := Now{Entries: m.entries, Booted: slots.B, Boot: strings.Repeat("x", m.boots), Up: []string{"the agent has not looked yet"}}
		v := Decide(m.record, n)
		n.Entries = v.Entries
		v = Leave(v.Record, n)
		if m.record, m.entries = v.Record, v.Entries; Next(m.entries) != slots.B {
			t.Fatalf("next comes %+v", m.entries)
		}
	}
}

// What is gone back from, or has had its time, is not tried again because the machine is left; nor is a slot that was never tried.
func TestLeftForGood(t *testing.T) {
	m := installed()
	m.power()
	same := func(n Now) {
		t.Helper()
		if v := Leave(m.record, n); !reflect.DeepEqual(v.Record, m.record) || !reflect.DeepEqual(v.Entries, n.Entries) {
			t.Errorf("left for %+v, %+v", v.Record, v.Entries)
		}
	}
	same(m.now())
	m.stage(t, sick)
	same(m.now())
	m.ask(t, slots.Try)
	same(m.now())
	n := m.starts()
	n.Uptime = Within
	same(n)
	v := Decide(m.record, n)
	if m.record, m.entries = v.Record, v.Entries; v.Reboot == "" {
		t.Fatal("it stays")
	}
	n.Entries, n.Uptime = v.Entries, time.Minute
	same(n)
}

// What was asked for is taken back before the boot that it was asked for.
func TestStay(t *testing.T) {
	m := installed()
	m.power()
	m.ask(t, slots.Stay)
	m.stage(t, dead)
	m.ask(t, slots.Try)
	m.ask(t, slots.Stay)
	if slot, how := m.power(); slot != slots.A || how != "up" {
		t.Fatalf("%s, %s", slot, how)
	}
	if s, reason := m.state(slots.B); s != slots.Staged || reason != "" || m.record.Trial != nil {
		t.Errorf("b is %s: %s; %+v", s, reason, m.record)
	}
	m.bad[slots.B] = whole
	m.ask(t, slots.Try)
	m.power()
	m.ask(t, slots.Rollback)
	m.ask(t, slots.Stay)
	if slot, how := m.power(); slot != slots.B || how != "up" || m.record.Committed != slots.B {
		t.Errorf("%s, %s: %+v", slot, how, m.record)
	}
	if s, _ := m.state(slots.A); s != slots.Good {
		t.Errorf("a is %s", s)
	}
}

// Nobody has to wait until a slot that is tried has had its time: it is gone back from when that is asked for.
func TestRollbackOfTrial(t *testing.T) {
	m := installed()
	m.power()
	m.stage(t, sick)
	m.ask(t, slots.Try)
	n := m.starts()
	v, err := Ask(m.record, n, slots.Rollback, "", 0)
	if err != nil || Next(v.Entries) != slots.A {
		t.Fatalf("%+v, %v", v, err)
	}
	m.record, m.entries, n.Entries = v.Record, v.Entries, v.Entries
	if _, err := Ask(m.record, n, slots.Stay, "", 0); err == nil || !strings.Contains(err.Error(), "slot b is gone back from") {
		t.Errorf("stay: %v", err)
	}
	if v := Leave(m.record, n); Next(v.Entries) != slots.A {
		t.Errorf("left for %+v", v.Entries)
	}
	if slot, how := m.power(); slot != slots.A || how != "up" || m.record.Committed != slots.A {
		t.Errorf("%s, %s: %+v", slot, how, m.record)
	}
	if s, reason := m.state(slots.B); s != slots.Failed || !strings.Contains(reason, "ordered") {
		t.Errorf("b is %s: %s", s, reason)
	}
}

func TestRollback(t *testing.T) {
	m := installed()
	m.power()
	if _, err := Ask(m.record, m.now(), slots.Rollback, "", 0); err == nil || !strings.Contains(err.Error(), "slot b is empty") {
		t.Errorf("back to nothing: %v", err)
	}
	m.stage(t, whole)
	if _, err := Ask(m.record, m.now(), slots.Rollback, "", 0); err == nil || !strings.Contains(err.Error(), "try it instead") {
		t.Errorf("back to what was never tried: %v", err)
	}
	m.ask(t, slots.Try)
	m.power()
	m.ask(t, slots.Rollback)
	if v := Decide(m.record, m.now()); v.Record.Committed != slots.B || v.Record.Trial == nil || Next(v.Entries) != slots.A {
		t.Errorf("asked for: %+v, %+v", v.Record, v.Entries)
	}
	m.bad[slots.A] = sick // the orchestrator is away: no reason to stay where somebody wants to be away from
	if slot, how := m.power(); slot != slots.A || how != "up" || m.record.Committed != slots.A {
		t.Errorf("then %s: %s, %+v", slot, how, m.record)
	}
}

// Both bad: with a rescue system that one is booted, and booted again.
func TestRescue(t *testing.T) {
	m := installed()
	m.entries = append(m.entries, Entry{slots.Rescue, 3, "0.1.0", Uncounted, 0})
	m.bad[slots.A] = dead
	for range Alone {
		m.power()
	}
	for range 3 {
		slot := Next(m.entries)
		if slot != slots.Rescue {
			t.Errorf("booted %s", slot)
		}
		now := Now{Entries: m.entries, Booted: slot, Boot: "y", Rescue: true}
		if v := Decide(m.record, now); v.Reboot != "" || Next(v.Entries) != slots.Rescue {
			t.Errorf("rescue decides %+v", v)
		}
	}
	if got, want := Rescued(m.entries), "slot a (0.1.0) did not come up; slot b is empty"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	// A slot that was mended is booted once more, and is the committed one as before when it is up.
	delete(m.bad, slots.A)
	v, err := Ask(Record{}, Now{Entries: m.entries, Booted: slots.Rescue, Rescue: true}, slots.Try, slots.A, 0)
	if err != nil || Next(v.Entries) != slots.A || len(v.Entries) != 2 || !reflect.DeepEqual(v.Record, Record{}) {
		t.Fatalf("got %+v, %v", v, err)
	}
	m.entries = v.Entries
	if slot, how := m.power(); slot != slots.A || how != "up" || m.record.Committed != slots.A {
		t.Errorf("then %s: %s, %+v", slot, how, m.record)
	}
}

// The rescue system writes a slot: another system is there than the record has, and it is booted when somebody asks for it.
func TestRescueStages(t *testing.T) {
	m := installed()
	m.power()
	m.bad[slots.A] = dead
	m.entries = append(m.entries, Entry{slots.Rescue, 3, "0.1.0", Uncounted, 0})
	for range Alone {
		m.power()
	}
	now := Now{Entries: m.entries, Booted: slots.Rescue, Rescue: true}
	for _, version := range []string{"", "0.0.9"} {
		v, err := Stage(Record{}, now, Known{Slot: slots.A, Version: version, SHA256: "x"})
		if err != nil || !reflect.DeepEqual(v.Record, Record{}) || Next(v.Entries) != slots.Rescue {
			t.Fatalf("got %+v, %v", v, err)
		}
		now.Entries = v.Entries
	}
	v, err := Ask(Record{}, now, slots.Try, slots.A, 0)
	if err != nil || Next(v.Entries) != slots.A {
		t.Fatalf("got %+v, %v", v, err)
	}
	delete(m.bad, slots.A)
	m.entries = v.Entries
	if slot, how := m.power(); slot != slots.A || how != "up" || m.record.Committed != slots.A {
		t.Errorf("then %s: %s, %+v", slot, how, m.record)
	}
	if k, _ := m.record.of(slots.A); k.Version != "0.0.9" || k.State != slots.Good {
		t.Errorf("slot a is %+v", k)
	}
}

func TestRefusals(t *testing.T) {
	m := installed()
	m.power()
	m.stage(t, whole)
	trying := m.record
	trying.Trial = &Trial{Slot: slots.B, Within: 60, Boot: "before"}
	onB := m.now()
	onB.Booted = slots.B
	for _, c := range []struct {
		err  error
		want string
	}{
		{second(Ask(m.record, m.now(), slots.Try, slots.A, 0)), "the one that is booted"},
		{second(Ask(m.record, m.now(), slots.Try, slots.B, time.Second)), "want 30s to 2h"},
		{second(Ask(m.record, Now{}, slots.Try, slots.B, 0)), "not booted from slot"},
		{second(Ask(m.record, Now{Booted: slots.Rescue}, slots.Try, slots.B, 0)), "slot b is empty; fill it first"},
		{second(Ask(m.record, Now{Booted: slots.Rescue}, slots.Try, "", 0)), "slot a is empty"},
		{second(Ask(m.record, Now{Booted: slots.Rescue}, slots.Rollback, slots.B, 0)), "does not know which slot was good"},
		{second(Ask(trying, onB, slots.Try, slots.A, 0)), "being tried"},
		{second(Ask(trying, onB, slots.Stay, "", 0)), "being tried"},
		{second(Stage(m.record, m.now(), Known{Slot: slots.A})), "the one that is booted"},
		{second(Stage(trying, onB, Known{Slot: slots.A})), "what the host goes back to"},
		{second(Stage(m.record, onB, Known{Slot: slots.A})), "the committed one"},
	} {
		if c.err == nil || !strings.Contains(c.err.Error(), c.want) {
			t.Errorf("got %v, want %q", c.err, c.want)
		}
	}
}

func second(_ Verdict, err error) error { return err }

// Whatever happens to a slot that is tried, and whenever the power is cut, the host is back on a system that works after two boots more,
// and stays on one.
func TestAnyFault(t *testing.T) {
	for seed := range uint64(2000) {
		r := rand.New(rand.NewPCG(seed, 0))
		m := installed()
		m.power()
		for range 6 {
			m.stage(t, fault(r.IntN(4)))
			m.ask(t, slots.Try)
			for range r.IntN(3) { // cut before the system does anything
				slot := Next(m.entries)
				i := slices.IndexFunc(m.entries, func(e Entry) bool { return e.Slot == slot })
				if e := &m.entries[i]; e.Left > 0 {
					e.Left, e.Done = e.Left-1, e.Done+1
				}
				m.boots++
			}
			up := 0
			for i := range 5 {
				slot, how := m.power()
				if how != "up" && i >= 3 && m.bad[slot] != whole {
					t.Fatalf("seed %d: boot %d is still from %s: %s; %+v %+v", seed, i, slot, how, m.record, m.entries)
				}
				if how == "up" {
					up++
				}
			}
			if up < 2 || m.record.Trial != nil || m.bad[m.record.Committed] == dead {
				t.Fatalf("seed %d: %d boots came up; %+v %+v", seed, up, m.record, m.entries)
			}
			if m.bad[m.record.Committed] != whole {
				break // what was committed is what could not be told from a good one: nothing to try from here
			}
		}
	}
}

// TestWaited: a host that waits for its configuration has come up, as often as it is booted.
func TestWaited(t *testing.T) {
	rescue := Entry{slots.Rescue, 3, "0.1.0", Uncounted, 0}
	a := func(left, done int) Entry { return Entry{slots.A, 1, "0.1.0", left, done} }
	b := Entry{slots.B, 2, "0.2.0", 1, 0}
	for _, c := range []struct {
		name       string
		list, want []Entry
	}{
		{"the only system, after its last boot", []Entry{a(0, Alone), rescue}, []Entry{a(Alone, 0), rescue}},
		{"the only system, after its first", []Entry{a(Alone-1, 1)}, []Entry{a(Alone, 0)}},
		{"it has no count", []Entry{a(Uncounted, 0), rescue}, []Entry{a(Uncounted, 0), rescue}},
		{"another one is there: this one may be on trial", []Entry{a(0, 1), b, rescue}, []Entry{a(0, 1), b, rescue}},
		{"the other one was booted", []Entry{a(0, 1), rescue}, []Entry{a(0, 1), rescue}},
		{"no entries", nil, nil},
	} {
		booted := slots.A
		if c.name == "the other one was booted" {
			booted = slots.B
		}
		if got := Waited(c.list, booted); !slices.Equal(got, c.want) {
			t.Errorf("%s: %+v, want %+v", c.name, got, c.want)
		}
	}
	m := installed()
	for range 3 * Alone {
		slot := Next(m.entries)
		if slot != slots.A {
			t.Fatalf("booted %q", slot)
		}
		m.entries = Waited(Chosen(m.entries, slot), slot)
	}
}
