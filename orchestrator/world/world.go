// Package world is what people and the resolver see of the cluster: what is stored and what hosts report, put together.
//
// Owns: the derived views, one file a noun: environment, node, host, cluster, operation, template, site, tally; which account sees
// what; what of sites and tallies is kept from one moment to the next.
// In: one view of the store, one snapshot of the hosts, the licence, what the last plan found.
// Out: values of wire/operator and wire/host.
// Never: says more than is known: what runs on a host that does not answer is unknown. Never does I/O.
package world

import (
	"fmt"
	"time"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/orchestrator/live"
	"hardnode.dev/orchestrator/store"
)

// World is everything at one moment, as one account sees it. One that was not made by For sees no record.
type World struct {
	Now       time.Time
	View      *store.View
	Live      live.Snapshot
	Stuck     map[wire.EnvName]string
	Uncovered map[wire.HostID]string
	Uneven    map[wire.EnvName]string
	Alarms    []string
	Rotation  string // of the gossip key
	License   operator.License
	Counted   func(wire.Account) Tally // the environments and nodes of an account's Tally; nil: each is looked at

	account wire.Account
	within  []wire.EnvName
	shared  map[wire.EnvName]*store.Share // what others share with who looks
}

// Over is closed when what is stored is no more as it is here.
func (w World) Over() <-chan struct{} { return w.View.Over() }

// byNumber orders numbers as text.
func byNumber(n int64) string { return fmt.Sprintf("%020d", n) }

// newest orders times, the newest first, as text.
func newest(t time.Time) string { return byNumber(1<<62 - t.UnixNano()) }
