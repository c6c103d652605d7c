// Package waiting keeps the machines that ask to be let in and that nobody has admitted yet.
//
// Owns: who waits, in memory only: they are strangers; how many may wait and how often each may ask.
// In: asks, with the key's code, the client's address and the time.
// Out: the machines that wait, by code; why a code is none of a machine that waits.
// Never: admits anybody (orchestrator/enroll does), stores anything, or believes what a machine says of its hardware.
package waiting

import (
	"cmp"
	"crypto/ed25519"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"hardnode.dev/internal/limit"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/internal/wire/waiting"
)

// Limits. A stranger can make as many keys as it likes, so what it can take is counted by the addresses that it has (limit.Key).
const (
	Most      = 256              // machines that wait at once
	MostOfOne = 32               // of one client's address
	tooSoon   = time.Second      // an ask sooner after the last one is refused
	goneAfter = 30 * time.Second // a machine that has not asked for so long waits no more
	forgotten = 10 * time.Minute // and until then it is still said that it did
)

// Machine is one that waits, or did.
type Machine struct {
	Code     string
	Key      ed25519.PublicKey
	From     netip.Addr
	Version  string
	Machine  waiting.Machine
	Since    time.Time // it began to wait
	Asked    time.Time
	Admitted string // the name it was admitted under; "" of one that was not

	other  string    // what another machine with this key calls itself
	others time.Time // when that one asked last
}

// Twice tells whether two machines with the same key wait: their code is the same, so it does not say which of them is meant.
func (m Machine) Twice(now time.Time) bool { return m.other != "" && now.Sub(m.others) < goneAfter }

// here tells whether it still asks.
func (m Machine) here(now time.Time) bool { return now.Sub(m.Asked) < goneAfter && m.Admitted == "" }

// Room is where they wait. The zero value is an empty one.
type Room struct {
	mu     sync.Mutex
	byCode map[string]*Machine
}

// Ask notes that a machine asks. The error is a Problem for the machine: it asks too often, or too many wait.
func (r *Room) Ask(now time.Time, from netip.Addr, code string, key ed25519.PublicKey, version string, m waiting.Machine) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	m, from = m.Clean(), limit.Key(from)
	have := r.byCode[code]
	if have != nil && have.Admitted == "" {
		return have.again(now, from, version, m)
	}
	if err := r.room(now, from); err != nil {
		return err
	}
	if r.byCode == nil {
		r.byCode = map[string]*Machine{}
	}
	r.byCode[code] = &Machine{Code: code, Key: key, From: from, Version: waiting.Text(version), Machine: m, Since: now, Asked: now}
	return nil
}

// again is an ask of a machine that is known.
func (m *Machine) again(now time.Time, from netip.Addr, version string, says waiting.Machine) error {
	if me, it := self(m.Machine), self(says); me != it {
		m.other, m.others = it, now
		return nil
	}
	if since := now.Sub(m.Asked); since < tooSoon && since >= 0 {
		return operator.NewProblem(operator.Exhausted, "waiting machine "+m.Code, "it asks more often than once a second",
			fmt.Sprintf("ask every %v", waiting.Every))
	}
	if !m.here(now) {
		m.Since = now
	}
	m.From, m.Version, m.Machine, m.Asked = from, waiting.Text(version), says, now
	return nil
}

// self is what a machine calls itself.
func self(m waiting.Machine) string { return m.UUID + " " + strings.Join(m.MACs, " ") }

// room makes room for one more machine of an address, or says why there is none. When all places are taken, an address that has fewer than
// another gets one of that one's: who comes with many machines can't keep out who comes with one.
func (r *Room) room(now time.Time, from netip.Addr) error {
	of, n := r.count(now)
	if of[from] >= MostOfOne {
		return operator.NewProblem(operator.Exhausted, "waiting machines", fmt.Sprintf("%d machines of address %s wait already", MostOfOne,
			from), "admit or switch off some of them: hnctl host waiting")
	}
	if n < Most {
		if len(r.byCode) >= 2*Most {
			r.drop(func(m, than *Machine) bool { return !m.here(now) && (than == nil || m.Asked.Before(than.Asked)) })
		}
		return nil
	}
	most := from
	for a, k := range of {
		if k > of[most] || k == of[most] && a.Less(most) {
			most = a
		}
	}
	if of[most] <= of[from]+1 {
		return operator.NewProblem(operator.Exhausted, "waiting machines", fmt.Sprintf("%d machines wait already", Most),
			"admit or switch off some of them: hnctl host waiting")
	}
	r.drop(func(m, than *Machine) bool {
		return m.here(now) && m.From == most && (than == nil || m.Since.After(than.Since))
	})
	return nil
}

// count forgets the machines that asked long ago, and counts those that wait, by address and in all.
func (r *Room) count(now time.Time) (of map[netip.Addr]int, n int) {
	of = map[netip.Addr]int{}
	for code, m := range r.byCode {
		if now.Sub(m.Asked) > forgotten {
			delete(r.byCode, code)
		} else if m.here(now) {
			n++
			of[m.From]++
		}
	}
	return of, n
}

// drop forgets the machine that rather shall go than any other; than is nil for the first one that may.
func (r *Room) drop(rather func(m, than *Machine) bool) {
	var who *Machine
	for _, m := range r.byCode {
		if rather(m, who) {
			who = m
		}
	}
	if who != nil {
		delete(r.byCode, who.Code)
	}
}

// List is the machines that wait, those that began first in front.
func (r *Room) List(now time.Time) []Machine {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := []Machine{}
	for _, m := range r.byCode {
		if m.here(now) {
			out = append(out, *m)
		}
	}
	slices.SortFunc(out, func(a, b Machine) int { return cmp.Or(a.Since.Compare(b.Since), strings.Compare(a.Code, b.Code)) })
	return out
}

// Find is the machine that waits with a code, or a Problem that says why there is none that could be admitted.
func (r *Room) Find(now time.Time, code string) (Machine, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	object := "waiting-hosts/" + code
	m := r.byCode[code]
	switch {
	case m == nil:
		return Machine{}, operator.NewProblem(operator.NotFound, object, "no machine waits with this code",
			"compare it with hnctl host waiting; a machine whose console shows a code that is not there was given another cluster's pin: "+
				"don't admit it, and look for who gave it")
	case m.Admitted != "":
		return Machine{}, operator.NewProblem(operator.Conflict, object, "it was admitted already, as "+m.Admitted, "see hnctl host list")
	case !m.here(now):
		return Machine{}, operator.NewProblem(operator.NotFound, object, fmt.Sprintf("the machine waits no more: it asked last %v ago",
			now.Sub(m.Asked).Round(time.Second)), "look at its console; it is here again once it asks")
	case m.Twice(now):
		return Machine{}, operator.NewProblem(operator.Conflict, object,
			"two machines wait with this code: they have the same key, as machines with copied disks do",
			"switch off both, wipe the disk of one, and boot it again")
	}
	return *m, nil
}

// Admitted notes that a machine was admitted under a name.
func (r *Room) Admitted(code, name string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if m := r.byCode[code]; m != nil {
		m.Admitted = name
	}
}
