// Package told is what hosts are told of each other, as differences (protocol 2 of the host API).
//
// Owns: a book of what there is to tell, in memory: each host, and the names of each environment by account; what of it changed lately.
// In: views of the store; what a host has (host.Known), and the accounts whose containers it runs.
// Out: the differences that bring that host up to date; nothing where it is. Their cost is that of what changed.
// Never: stores anything, or tells a host names of an account that it runs no container of.
//
// Nothing depends on what the book remembers: a host says by sums what it has, and is told the difference to that where the book knows it,
// else all. So an orchestrator that has just started, or another one, tells a host nothing that it has.
package told

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"sync"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/orchestrator/env"
	"hardnode.dev/orchestrator/store"
)

// Platform is the account of what the platform itself runs, as hosts are told of it: no account of people has this name.
const Platform wire.Account = ""

// Book is what there is to tell. The zero value is ready for use; its methods may be called at once.
type Book struct {
	// Key makes the sums ones that nobody else can work out: sums are combined by exclusive or, and who could choose many environments by
	// their sums would find some that make nothing together, which hosts would not be told of. It is the same in all orchestrators of a
	// cluster: with another key, all hosts are told all again. It is set before the first use.
	Key []byte

	mu       sync.RWMutex
	at       wire.Revision               // of the view that is in the book; 0: none
	peers    *host.Peers                 // all but the hosts, and no names; nil: there are none yet
	hosts    set[wire.HostID, host.Peer] // at "" is one that is nothing but the sum of peers
	accounts map[wire.Account]*set[wire.EnvName, host.Zone]
	owner    map[wire.EnvName]wire.Account // of the environments in accounts
	// moving: the document of Peers still holds the names of all, as an earlier orchestrator wrote it. Until each environment has its own,
	// nothing is told of names: hosts keep what they have.
	moving bool
}

// News is what a host that has known is to be told at v or later; nil where it is up to date. Accounts are those of its own containers.
func (b *Book) News(v *store.View, known host.Known, accounts []wire.Account) (*host.PeersChange, *host.NamesChange) {
	b.Follow(v)
	b.mu.RLock()
	defer b.mu.RUnlock()
	if b.peers == nil {
		return nil, nil
	}
	return b.changeOfPeers(known.Hosts), b.changeOfNames(known, accounts)
}

func (b *Book) changeOfPeers(has host.Sum) *host.PeersChange {
	if has == b.hosts.sum {
		return nil
	}
	c := &host.PeersChange{To: b.hosts.sum, Peers: *b.peers, Head: b.hosts.all[""].Sum}
	c.Peers.Hosts = []host.Peer{}
	ids, ok := b.hosts.since(has)
	if c.From = has; !ok {
		c.From, ids = 0, slices.Collect(maps.Keys(b.hosts.all))
	}
	slices.Sort(ids)
	for _, id := range ids {
		if h, there := b.hosts.all[id]; id == "" {
			continue
		} else if there {
			c.Peers.Hosts = append(c.Peers.Hosts, h)
		} else {
			c.Gone = append(c.Gone, id)
		}
	}
	return c
}

func (b *Book) changeOfNames(known host.Known, accounts []wire.Account) *host.NamesChange {
	if b.moving {
		return nil
	}
	total := host.Sum(0)
	same := known.Names != nil
	see := slices.Compact(slices.Sorted(slices.Values(append([]wire.Account{Platform}, accounts...))))
	for _, a := range see {
		total ^= b.sum(a)
		same = same && (known.Total != 0 || known.Names[a] == b.sum(a))
	}
	for a, s := range known.Names {
		same = same && (s == 0 || slices.Contains(see, a))
	}
	if same && (known.Total == 0 || known.Total == total) {
		return nil
	}
	c := &host.NamesChange{Accounts: []host.AccountNames{}}
	for _, a := range see {
		if n := b.changeOfAccount(a, known.Names[a]); n.To != 0 {
			c.Accounts = append(c.Accounts, n)
		}
	}
	return c
}

func (b *Book) sum(a wire.Account) host.Sum {
	if s := b.accounts[a]; s != nil {
		return s.sum
	}
	return 0
}

func (b *Book) changeOfAccount(a wire.Account, has host.Sum) host.AccountNames {
	n := host.AccountNames{Account: a, From: has, To: b.sum(a)}
	if n.From == n.To || n.To == 0 {
		return n
	}
	zones := b.accounts[a]
	envs, ok := zones.since(has)
	if !ok {
		n.From, envs = 0, slices.Collect(maps.Keys(zones.all))
	}
	slices.Sort(envs)
	for _, e := range envs {
		if z, there := zones.all[e]; there {
			n.Zones = append(n.Zones, z)
		} else {
			n.Gone = append(n.Gone, e)
		}
	}
	return n
}

// Follow brings the book up to v, if it is not later. News does that too; at the orchestrator's start, before anything changes, it lets
// the book tell differences to what hosts had before the start.
func (b *Book) Follow(v *store.View) {
	b.mu.RLock()
	late := v.Revision() <= b.at
	b.mu.RUnlock()
	if late {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if v.Revision() <= b.at {
		return
	}
	if b.accounts == nil {
		b.accounts, b.owner = map[wire.Account]*set[wire.EnvName, host.Zone]{}, map[wire.EnvName]wire.Account{}
	}
	changes, ok := v.Since(b.at)
	if b.at == 0 || !ok {
		b.takePeers(v)
		b.takeAll(v)
	} else {
		for _, c := range changes {
			switch c.Kind {
			case store.PeersDoc.Kind():
				b.takePeers(v)
			case store.EnvNames.Kind(), store.Envs.Kind():
				b.takeNames(v, wire.EnvName(c.Name))
			}
		}
	}
	b.at = v.Revision()
}

// takePeers takes in the document of Peers.
func (b *Book) takePeers(v *store.View) {
	doc := store.PeersDoc.Find(v, store.Only)
	if doc == nil {
		b.peers, b.hosts = nil, set[wire.HostID, host.Peer]{}
		return
	}
	b.moving = len(doc.Names) > 0
	p := *doc
	p.Hosts, p.Names, p.Groups = []host.Peer{}, nil, nil
	b.peers = &p
	head := b.sumOf(p)
	b.hosts.put("", host.Peer{Sum: head}, head^b.hosts.all[""].Sum)
	there := map[wire.HostID]bool{"": true}
	for _, h := range doc.Hosts {
		there[h.ID] = true
		old := b.hosts.all[h.ID]
		if h.Sum = old.Sum; h.Sum == 0 || !reflect.DeepEqual(h, old) {
			h.Sum = 0
			h.Sum = b.sumOf(h)
			b.hosts.put(h.ID, h, h.Sum^old.Sum)
		}
	}
	for id, h := range b.hosts.all {
		if !there[id] {
			b.hosts.drop(id, h.Sum)
		}
	}
}

// takeAll takes in the names of all environments.
func (b *Book) takeAll(v *store.View) {
	for e := range maps.Clone(b.owner) {
		b.takeNames(v, e)
	}
	for e := range store.EnvNames.Refs(v) {
		b.takeNames(v, wire.EnvName(e))
	}
}

// takeNames takes in the names of one environment. Those of an environment without a record are nobody's.
func (b *Book) takeNames(v *store.View, e wire.EnvName) {
	names, rec := store.EnvNames.Find(v, string(e)), store.Envs.Find(v, string(e))
	account, there := Platform, names != nil
	if e != env.System {
		if there = there && rec != nil; there {
			account = rec.Account.Owner()
		}
	}
	if was, had := b.owner[e]; had && (!there || was != account) {
		b.accounts[was].drop(e, b.accounts[was].all[e].Sum)
		delete(b.owner, e)
	}
	if !there {
		return
	}
	zones := b.accounts[account]
	if zones == nil {
		zones = &set[wire.EnvName, host.Zone]{}
		b.accounts[account] = zones
	}
	z := host.Zone{Env: e, Nodes: names.Nodes, Layers: names.Layers}
	if account != Platform {
		z.Group = rec.Group
	}
	z.Sum = b.sumOf(struct {
		Account wire.Account
		Zone    host.Zone
	}{account, z})
	if old := zones.all[e]; old.Sum != z.Sum {
		zones.put(e, z, z.Sum^old.Sum)
	}
	b.owner[e] = account
}

// sumOf tells a value from every other: the first eight bytes of the HMAC-SHA256 (RFC 2104) of its JSON, which has no maps in it.
func (b *Book) sumOf(v any) host.Sum {
	raw, err := json.Marshal(v)
	if err != nil {
		panic("BUG: sum: " + err.Error())
	}
	mac := hmac.New(sha256.New, b.Key)
	mac.Write(raw)
	return max(1, host.Sum(binary.BigEndian.Uint64(mac.Sum(nil))))
}
