package host

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"hardnode.dev/internal/wire"
)

// PeersChange leads from the Peers that a host has to the newest. Names and Groups are not in it: they come as a NamesChange.
type PeersChange struct {
	From Sum `json:"from,omitempty"` // of what it leads on from; 0: from nothing, it is whole
	To   Sum `json:"to"`
	// Peers is the newest, but for its Hosts: those are the ones that are new or changed, each with its Sum.
	Peers Peers         `json:"peers"`
	Head  Sum           `json:"head"`           // of all but the hosts: To is this and the hosts' sums together
	Gone  []wire.HostID `json:"gone,omitempty"` // hosts that are no more
}

// NamesChange leads from the names that a host has to those it may see now.
type NamesChange struct {
	// Accounts are all whose names the host may see, unchanged ones too: those of its own containers, and "", the platform. The names of an
	// account that is not here are to be forgotten.
	Accounts []AccountNames `json:"accounts"`
}

// AccountNames leads from what a host has of the environments of one account to what there is.
type AccountNames struct {
	Account wire.Account   `json:"account,omitempty"`
	From    Sum            `json:"from,omitempty"` // of what it leads on from; 0: from nothing, it is whole
	To      Sum            `json:"to"`             // From: nothing changed
	Zones   []Zone         `json:"zones,omitempty"`
	Gone    []wire.EnvName `json:"gone,omitempty"` // environments that have no names any more
}

// Zone is what the cluster's name servers answer of one environment.
type Zone struct {
	Env    wire.EnvName `json:"env"`
	Sum    Sum          `json:"sum"`
	Nodes  []Name       `json:"nodes,omitempty"`  // of each node by its number: their addresses are its part of its account's group
	Layers []Name       `json:"layers,omitempty"` // of its layers, or of a component
	// Group: its nodes talk to those of its account's environments of the same group only. "": to the others that have none.
	Group wire.GroupName `json:"group,omitempty"`
}

// Kept is what a host has of the cluster, in a form that an agent of protocol 1 reads as Peers: it finds all names and groups there. What
// differences need beside that is added.
type Kept struct {
	Peers
	Sum   Sum        `json:"sum,omitempty"`  // of Peers without names; 0: it came whole, with the names of all (protocol 1)
	Zones []KeptZone `json:"zones,omitzero"` // what Names is made of, in its order; nil: it did not come as differences
}

// KeptZone is one Zone of a Kept: so many of its Names, which begin after those of the zones before it.
type KeptZone struct {
	Account wire.Account   `json:"account,omitempty"`
	Env     wire.EnvName   `json:"env"`
	Sum     Sum            `json:"sum"`
	Nodes   int            `json:"nodes,omitempty"`
	Layers  int            `json:"layers,omitempty"`
	Group   wire.GroupName `json:"group,omitempty"` // as in Zone
}

// ErrOther: a change leads on from something else than what the host has, or not to what it says. All of it has to be sent.
var ErrOther = errors.New("the change does not fit what this host has")

// Known is what k tells the orchestrator of itself; k may be nil.
func (k *Kept) Known() (out Known) {
	switch {
	case k == nil:
		return out
	case k.Sum == 0:
		out.Peers = k.Revision
	default:
		out.Hosts = k.Sum
	}
	if k.Zones != nil {
		out.Names = map[wire.Account]Sum{}
		for _, z := range k.Zones {
			out.Names[z.Account] ^= z.Sum
		}
	}
	return out
}

// Take is k with what an Assignment brings of the cluster. K may be nil, and stays as it is. ErrOther: see there.
func (k *Kept) Take(a Assignment) (*Kept, error) {
	if a.Peers != nil { // whole, by protocol 1
		k = &Kept{Peers: *a.Peers}
	}
	var err error
	if a.PeersChange != nil {
		if k, err = k.takePeers(a.PeersChange); err != nil {
			return nil, err
		}
	}
	if a.Names != nil {
		if k, err = k.takeNames(a.Names); err != nil {
			return nil, err
		}
	}
	return k, nil
}

func (k *Kept) takePeers(c *PeersChange) (*Kept, error) {
	next := &Kept{Peers: c.Peers, Sum: c.To}
	next.Names, next.Groups = nil, nil
	hosts := map[wire.HostID]Peer{}
	if k != nil {
		next.Names, next.Groups, next.Zones = k.Names, k.Groups, k.Zones
	}
	if c.From != 0 {
		if k == nil || k.Sum != c.From {
			return nil, fmt.Errorf("peers %d: %w", c.Peers.Revision, ErrOther)
		}
		for _, h := range k.Hosts {
			hosts[h.ID] = h
		}
	}
	for _, id := range c.Gone {
		delete(hosts, id)
	}
	for _, h := range c.Peers.Hosts {
		hosts[h.ID] = h
	}
	next.Hosts = make([]Peer, 0, len(hosts))
	sum := c.Head
	for _, id := range slices.Sorted(maps.Keys(hosts)) {
		next.Hosts = append(next.Hosts, hosts[id])
		sum ^= hosts[id].Sum
	}
	if sum != c.To {
		return nil, fmt.Errorf("peers %d: %w", c.Peers.Revision, ErrOther)
	}
	if c.From != 0 && (next.Range4 != k.Range4 || next.Range6 != k.Range6) { // what stays may be outside
		if err := next.Peers.Validate(); err != nil {
			return nil, fmt.Errorf("%w: %v", ErrOther, err)
		}
	}
	return next, nil
}

// zones takes Names apart again, by account.
func (k *Kept) zones() map[wire.Account]map[wire.EnvName]Zone {
	out := map[wire.Account]map[wire.EnvName]Zone{}
	names := k.Names
	take := func(n int) (part []Name) {
		part, names = names[:n:n], names[n:]
		return part
	}
	for _, z := range k.Zones {
		if out[z.Account] == nil {
			out[z.Account] = map[wire.EnvName]Zone{}
		}
		out[z.Account][z.Env] = Zone{Env: z.Env, Sum: z.Sum, Nodes: take(z.Nodes), Layers: take(z.Layers), Group: z.Group}
	}
	return out
}

func (k *Kept) takeNames(c *NamesChange) (*Kept, error) {
	if k == nil {
		return nil, fmt.Errorf("names without peers: %w", ErrOther)
	}
	had := k.zones()
	now := map[wire.Account]map[wire.EnvName]Zone{}
	owner := map[wire.EnvName]wire.Account{}
	for _, a := range c.Accounts {
		zones, sum := map[wire.EnvName]Zone{}, Sum(0)
		if a.From != 0 {
			zones = had[a.Account]
			for _, z := range zones {
				sum ^= z.Sum
			}
		}
		if sum != a.From {
			return nil, fmt.Errorf("names of account %q: %w", a.Account, ErrOther)
		}
		for _, env := range a.Gone {
			sum ^= zones[env].Sum
			delete(zones, env)
		}
		for _, z := range a.Zones {
			sum ^= zones[z.Env].Sum ^ z.Sum
			zones[z.Env] = z
		}
		if sum != a.To {
			return nil, fmt.Errorf("names of account %q: %w", a.Account, ErrOther)
		}
		for env := range zones {
			if other, ok := owner[env]; ok {
				return nil, fmt.Errorf("names: environment %q is of the accounts %q and %q: %w", env, other, a.Account, ErrOther)
			}
			owner[env] = a.Account
		}
		now[a.Account] = zones
	}
	next := *k
	next.compose(now)
	return &next, nil
}

// PlatformGroup is the Group of the platform's own containers. An account's is named by accountGroup, so that no account's name is this.
const (
	PlatformGroup = "jelastic"
	accountGroup  = "account "
)

// groupName names a group of an account so that no two of them, of whichever account, are named alike.
func groupName(account wire.Account, group wire.GroupName) string {
	switch {
	case account == "":
		return PlatformGroup
	case group == "":
		return accountGroup + string(account)
	}
	return accountGroup + string(account) + " group " + string(group)
}

// compose makes Names and Groups of zones.
func (k *Kept) compose(zones map[wire.Account]map[wire.EnvName]Zone) {
	k.Names, k.Groups, k.Zones = nil, nil, []KeptZone{}
	for _, account := range slices.Sorted(maps.Keys(zones)) {
		groups := map[wire.GroupName]Group{}
		for _, env := range slices.Sorted(maps.Keys(zones[account])) {
			z := zones[account][env]
			k.Zones = append(k.Zones, KeptZone{Account: account, Env: env, Sum: z.Sum, Nodes: len(z.Nodes), Layers: len(z.Layers),
				Group: z.Group})
			k.Names = append(append(k.Names, z.Nodes...), z.Layers...)
			group := groups[z.Group]
			for _, n := range z.Nodes {
				group.Addrs = append(group.Addrs, n.Addrs...)
			}
			groups[z.Group] = group
		}
		for _, name := range slices.Sorted(maps.Keys(groups)) {
			if g := groups[name]; len(g.Addrs) > 0 {
				g.Name = groupName(account, name)
				k.Groups = append(k.Groups, g)
			}
		}
	}
}

// Validate is that of the Peers in it, and of Fits.
func (k *Kept) Validate() error {
	if err := k.Fits(); err != nil {
		return err
	}
	return k.Peers.Validate()
}

// Fits says why the zones are not what the names are made of, or nil.
func (k *Kept) Fits() error {
	left := len(k.Names)
	for _, z := range k.Zones {
		if z.Nodes < 0 || z.Layers < 0 || z.Nodes > left || z.Layers > left-z.Nodes {
			return fmt.Errorf("peers: zone %s has more names than there are", z.Env)
		}
		left -= z.Nodes + z.Layers
	}
	if k.Zones != nil && left > 0 {
		return fmt.Errorf("peers: %d names are in no zone", left)
	}
	return nil
}

// Validate says which peer or key of a change is wrong, or nil.
func (c *PeersChange) Validate() error {
	if len(c.Peers.Names)+len(c.Peers.Groups) > 0 {
		return errors.New("peers: a change of them has no names and no groups")
	}
	return c.Peers.Validate()
}

// Validate says which name of a change is wrong, or nil.
func (c *NamesChange) Validate() error {
	accounts, envs := map[wire.Account]bool{}, map[wire.EnvName]bool{}
	for _, a := range c.Accounts {
		if err := a.Account.ValidateGiven(); err != nil || accounts[a.Account] {
			return fmt.Errorf("names: account %q: is none or is there twice", a.Account)
		}
		accounts[a.Account] = true
		for _, z := range a.Zones {
			if err := z.Env.Validate(); err != nil || envs[z.Env] {
				return fmt.Errorf("names: environment %q: is none or is there twice", z.Env)
			}
			envs[z.Env] = true
			if err := z.Group.ValidateGiven(); err != nil {
				return fmt.Errorf("names: environment %q: %v", z.Env, err)
			}
			for _, n := range slices.Concat(z.Nodes, z.Layers) {
				if !IsDomain(n.Name) || !strings.HasSuffix(n.Name, "."+string(z.Env)+".internal") {
					return fmt.Errorf("names: %q is no name below %s.internal", n.Name, z.Env)
				}
			}
		}
	}
	return nil
}
