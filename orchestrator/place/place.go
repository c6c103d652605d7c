// Package place chooses a host for each node.
//
// Owns: the filters a host must pass and the order in which the others are preferred.
// In: the nodes to place, the hosts with what is reserved on them.
// Out: a host for each node and why; or a Refusal that says of the hosts why not. A Board keeps the hosts' order from one choice to the
// next.
// Never: changes anything, reads a clock or a random number: the same input gives the same choice.
package place

import (
	"cmp"
	"fmt"
	"strings"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/operator"
)

// HostShare is the memory, in bytes, that a host keeps for itself.
const HostShare int64 = 128 << 20

// Host is what placing needs to know of a host. Place changes none of it.
type Host struct {
	ID         wire.HostID
	Name       string
	Role       host.Role
	State      operator.HostState
	Cordon     string // who keeps new nodes off it and why, "" if nobody does
	Unlicensed string // why nothing new may be placed here
	Closed     string // why the host itself takes no new nodes, in its words: its DATA has little room for metadata
	Memory     int64  // bytes in all
	Disk       int64  // bytes in all; 0 is not known, and then not counted
	Reserved   int64  // bytes of memory reserved by the nodes on it
	DiskTaken  int64  // bytes of quotas of the nodes on it
	Addresses  int    // free container addresses; Board.Blocks are for hosts that have none
	Moves      bool   // it takes nodes that move from another host
	Labels     map[string]string
	Layers     map[Layer]int
	Images     map[wire.Digest]bool // images that lie there already
}

// Layer is a layer of one environment.
type Layer struct {
	Env  wire.EnvName
	Name wire.LayerName
}

// Node is a node to place.
type Node struct {
	Layer     Layer
	Cloudlets wire.Cloudlets
	DiskBytes int64
	Image     wire.Digest
	// Not is a host it may not get, "" if none.
	Not wire.HostID
	// Moves: it comes with its data from there.
	Moves bool
	// Place is what it asks of a host; nil: nothing. A node that is counted has none.
	Place *operator.PlaceSpec
	// For is the host of the node of its layer whose place it takes: that one does not count where zones are compared. "": it takes none's.
	For wire.HostID
}

// Choice is where a node goes, and why.
type Choice struct {
	Host wire.HostID
	Why  string
}

// Refusal says why a node has no host: of the first hosts by name each one's reason.
type Refusal struct {
	Node  int // index of the node
	Hosts []Reason
	More  int // hosts that are not named
	// TooBig: no host is large enough for the node even when empty.
	TooBig bool
	// Largest is the memory of the largest host a node can have, in bytes; for TooBig.
	Largest int64
	// None is why hosts that could take it but for an address get no more of them; "" if there is none.
	None string
	// Lacks is what no host has of what the node asks of one, in the node's words; "": some host has all of it.
	Lacks string
	// Without says how many hosts are not named since they don't have all of it: which these are, and so what labels they have, is not told
	// to who asks for labels.
	Without string
}

// Reason is why a host was not taken.
type Reason struct {
	Host string // its name
	Why  string
	code filter
}

type filter int

const (
	passes filter = iota
	notUser
	unlabelled
	notActive
	cordoned
	notLicensed
	closed
	excluded
	older
	tooSmall
	noMemory
	noDisk
	noAddress
)

// String is the refusal in one line.
func (r *Refusal) String() string {
	if r.Lacks != "" {
		return "no host has " + r.Lacks
	}
	if len(r.Hosts) == 0 && r.Without == "" {
		return "the cluster has no host for users' nodes"
	}
	var s []string
	for _, h := range r.Hosts {
		s = append(s, h.Host+" "+h.Why)
	}
	if r.More > 0 {
		s = append(s, fmt.Sprintf("and %d hosts more can't take it either", r.More))
	}
	if r.None != "" {
		s = append(s, r.None)
	}
	if r.Without != "" {
		s = append(s, r.Without)
	}
	return strings.Join(s, "; ")
}

// Place chooses a host for each node in turn, as if the ones before it were already there. All or none: the first node without a host
// is the Refusal.
func Place(nodes []Node, hosts []Host) ([]Choice, *Refusal) {
	b := NewBoard(hosts)
	out := make([]Choice, 0, len(nodes))
	for i, n := range nodes {
		c, refusal := b.Place(n)
		if refusal != nil {
			refusal.Node = i
			return nil, refusal
		}
		out = append(out, c)
	}
	return out, nil
}

func reserved(n Node) int64 { return int64(n.Cloudlets.Reserved) * wire.CloudletBytes }

func (h Host) usable() int64 { return h.Memory - HostShare }

// needs is the memory a host must have for the node to be able to grow to its limit.
func (n Node) needs() int64 { return int64(n.Cloudlets.Dynamic) * wire.CloudletBytes }

// check is the first filter that a host does not pass by itself. noAddress is the last of them.
func check(n Node, h *Host) filter {
	switch {
	case h.Role != host.RoleUser:
		return notUser
	case !n.Place.Takes(h.Labels):
		return unlabelled
	case h.State != operator.HostActive:
		return notActive
	case h.Cordon != "":
		return cordoned
	case h.Unlicensed != "":
		return notLicensed
	case h.Closed != "":
		return closed
	case h.ID == n.Not:
		return excluded
	case n.Moves && !h.Moves:
		return older
	case n.needs() > h.usable():
		return tooSmall
	case h.Reserved+reserved(n) > h.usable():
		return noMemory
	case h.Disk > 0 && h.DiskTaken+n.DiskBytes > h.Disk:
		return noDisk
	case h.Addresses < 1:
		return noAddress
	}
	return passes
}

// reason puts a filter that a host did not pass into words.
func reason(f filter, n Node, h *Host) string {
	mib := func(b int64) int64 { return max(0, b>>20) }
	switch f {
	case notUser:
		return "is no user host"
	case unlabelled:
		return "does not have " + strings.Join(n.Place.Lacks(h.Labels), " and ")
	case notActive:
		return "is " + string(h.State)
	case cordoned:
		return "takes no new nodes: " + h.Cordon
	case notLicensed:
		return "is not licensed: " + h.Unlicensed
	case closed:
		return "takes no new nodes: " + h.Closed
	case excluded:
		return "is the host the node leaves"
	case older:
		return "has a version that takes no nodes which move, or does not say"
	case tooSmall:
		return fmt.Sprintf("has %d MiB for nodes, %d dynamic cloudlets are %d MiB", mib(h.usable()), n.Cloudlets.Dynamic, mib(n.needs()))
	case noMemory:
		return fmt.Sprintf("has %d MiB not reserved, %d reserved cloudlets are %d MiB", mib(h.usable()-h.Reserved), n.Cloudlets.Reserved,
			mib(reserved(n)))
	case noDisk:
		return fmt.Sprintf("has %d MiB of disk left, the node wants %d", mib(h.Disk-h.DiskTaken), mib(n.DiskBytes))
	case noAddress:
		return "has no free address"
	}
	return ""
}

// better tells whether a is preferred to b: fewer nodes of the same layer in its zone, then on itself, then the tighter fit in memory, then
// the image is there already, then the smaller name, so that the choice does not depend on the order of the list.
func better(n Node, in census, a, b *slot) bool {
	return cmp.Or(
		cmp.Compare(in[a.zone()], in[b.zone()]),
		cmp.Compare(a.Layers[n.Layer], b.Layers[n.Layer]),
		cmp.Compare(bucket(n, a), bucket(n, b)),
		-compareBool(a.images[n.Image] > 0, b.images[n.Image] > 0),
		cmp.Compare(a.Name, b.Name),
		cmp.Compare(a.ID, b.ID),
	) < 0
}

// bucket is how full the host would be, turned round (0 is full), in tenths of its memory: hosts about as full count as equal, so that
// the image decides between them.
func bucket(n Node, h *slot) int64 {
	return tenths(h.free()-int64(n.Cloudlets.Reserved), h.size())
}

// tenths is how many tenths of all are free; both in cloudlets.
func tenths(free, all int64) int64 { return free * 10 / max(1, all) }

func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return 1
	}
	return -1
}

func (b *Board) why(n Node, h *slot) string {
	s := fmt.Sprintf("%d of %d hosts have the memory; it has %d nodes of layer %s", b.room(n), len(b.order), h.Layers[n.Layer],
		n.Layer.Name)
	if len(b.zones) > 1 { // which one it is, is not everybody's business
		s += fmt.Sprintf(", its zone has %d", b.census(n)[h.zone()])
	}
	if n.Place != nil {
		s += ", it has " + n.Place.String()
	}
	s += fmt.Sprintf(", %d of %d MiB reserved", h.Reserved>>20, h.usable()>>20)
	if h.images[n.Image] > 0 {
		s += ", the image is there"
	}
	return s
}
