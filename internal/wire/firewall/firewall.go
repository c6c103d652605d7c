// Package firewall is the rules of one container's firewall.
//
// Owns: the types, their form, and the order in which rules are looked at.
// In: rules of people and of programs.
// Out: valid rules, or an error naming the rule, the field and what it may be.
// Never: knows addresses of names, or how packets are looked at (agent/network does).
//
// Rules narrow what accounts and groups leave open, and open nothing that they close. What no rule matches passes: in, from containers of
// the same group, the platform, and to published ports; out, everywhere that containers may reach. The platform and the host's own checks
// reach a container, and it reaches its host's name server, whatever its rules say.
//
// History: 2026-11-27 version 1.
package firewall

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"hardnode.dev/internal/wire"
)

// Limits. MaxRules are those of one list: a layer's, or a node's own.
const (
	MaxRules    = 64
	MaxPorts    = 16
	MaxPriority = 1000
	MaxRate     = 100_000
)

// PacketRule is one rule. Of those that match a new connection the first says what becomes of it, in the order of Sort.
type PacketRule struct {
	Name      string    `json:"name" yaml:"name" maxLength:"40" doc:"Unique in its list: a DNS label"`
	Direction Direction `json:"direction" yaml:"direction" enum:"in,out" doc:"in: to the container; out: from it"`
	Action    Action    `json:"action" yaml:"action" enum:"allow,deny"`
	// Priority: a lower one is looked at earlier.
	Priority int    `json:"priority" yaml:"priority" minimum:"1" maximum:"1000" doc:"Rules with lower ones are looked at earlier"`
	Protocol string `json:"protocol,omitempty" yaml:"protocol" enum:"tcp,udp,icmp," doc:"icmp is ICMPv6 too; left out: all"`
	Ports    []Port `json:"ports,omitempty" yaml:"ports" maxItems:"16" doc:"Ports of tcp or udp at the end that is connected to; left out: all"`
	Peer     string `json:"peer,omitempty" yaml:"peer" maxLength:"253" doc:"Who is at the other end: an address, a prefix such as 192.0.2.0/24, or a name of the cluster: an environment's (shop.internal), a layer's or a node's; left out: anybody"`
	Rate     int    `json:"rate,omitempty" yaml:"rate" minimum:"0" maximum:"100000" doc:"Of allow: how many connections a second begin; more are dropped. 0: no limit"`
}

// Direction is which way a connection begins.
type Direction string

// The directions.
const (
	In  Direction = "in"
	Out Direction = "out"
)

// Action is what a rule does with a connection.
type Action string

// The actions.
const (
	Allow Action = "allow"
	Deny  Action = "deny"
)

// Protocols that rules name.
const (
	TCP  = "tcp"
	UDP  = "udp"
	ICMP = "icmp"
)

// Port is a port, "80", or several, "8000-8100".
type Port string

// Range is the first and the last port.
func (p Port) Range() (first, last uint16, err error) {
	from, to, several := strings.Cut(string(p), "-")
	if !several {
		to = from
	}
	a, err1 := strconv.ParseUint(from, 10, 16)
	b, err2 := strconv.ParseUint(to, 10, 16)
	if err1 != nil || err2 != nil || a == 0 || b < a || strconv.FormatUint(a, 10) != from || strconv.FormatUint(b, 10) != to {
		return 0, 0, fmt.Errorf("%q is no port: write one from 1 to 65535, or the first and the last as 8000-8100", string(p))
	}
	return uint16(a), uint16(b), nil
}

// Top is the end of the cluster's names.
const Top = ".internal"

// Prefix is the peer as a prefix; ok is false if it is none: it is a name, or "".
func (r PacketRule) Prefix() (p netip.Prefix, ok bool) {
	if a, err := netip.ParseAddr(r.Peer); err == nil && a.Zone() == "" && !a.Is4In6() {
		return netip.PrefixFrom(a, a.BitLen()), true
	}
	p, err := netip.ParsePrefix(r.Peer)
	return p, err == nil && !p.Addr().Is4In6()
}

// Peers is the environment whose name the peer is or is under, with the part before it (a layer or a node, "": all of it); env is "" where
// the peer is no name of the cluster.
func (r PacketRule) Peers() (part string, env wire.EnvName) {
	name, named := strings.CutSuffix(r.Peer, Top)
	if !named {
		return "", ""
	}
	if part, of, under := strings.Cut(name, "."); under {
		return part, wire.EnvName(of)
	}
	return "", wire.EnvName(name)
}

// Renamed is rules with those peers that are names of an environment as they are under its other name. The rules that it is given stay.
func Renamed(rules []PacketRule, from, to wire.EnvName) []PacketRule {
	out := slices.Clone(rules)
	for i, r := range out {
		switch part, env := r.Peers(); {
		case env != from || env == "":
		case part == "":
			out[i].Peer = string(to) + Top
		default:
			out[i].Peer = part + "." + string(to) + Top
		}
	}
	return out
}

// Validate says what is wrong with a rule, or nil.
func (r PacketRule) Validate() error {
	if err := wire.Label("name", r.Name, 40); err != nil {
		return err
	}
	switch {
	case r.Direction != In && r.Direction != Out:
		return fmt.Errorf("direction %q: want in or out", r.Direction)
	case r.Action != Allow && r.Action != Deny:
		return fmt.Errorf("action %q: want allow or deny", r.Action)
	case r.Priority < 1 || r.Priority > MaxPriority:
		return fmt.Errorf("priority %d: want 1 to %d", r.Priority, MaxPriority)
	case r.Protocol != "" && r.Protocol != TCP && r.Protocol != UDP && r.Protocol != ICMP:
		return fmt.Errorf("protocol %q: want tcp, udp or icmp, or leave it out for all", r.Protocol)
	case len(r.Ports) > 0 && r.Protocol != TCP && r.Protocol != UDP:
		return fmt.Errorf("ports: protocol %q has none: want tcp or udp beside them", r.Protocol)
	case len(r.Ports) > MaxPorts:
		return fmt.Errorf("ports: there are %d, at most %d are allowed: write ranges", len(r.Ports), MaxPorts)
	case r.Rate < 0 || r.Rate > MaxRate:
		return fmt.Errorf("rate %d: want 1 to %d connections a second, or 0 for no limit", r.Rate, MaxRate)
	case r.Rate > 0 && r.Action == Deny:
		return fmt.Errorf("rate %d: what is denied has none: leave it out, or allow at that rate", r.Rate)
	}
	for _, p := range r.Ports {
		if _, _, err := p.Range(); err != nil {
			return fmt.Errorf("ports: %v", err)
		}
	}
	return r.validatePeer()
}

func (r PacketRule) validatePeer() error {
	if p, ok := r.Prefix(); ok {
		if p != p.Masked() {
			return fmt.Errorf("peer %s: the prefix has bits beyond its length: write %s", r.Peer, p.Masked())
		}
		return nil
	}
	name, under := strings.CutSuffix(r.Peer, Top)
	if r.Peer == "" {
		return nil
	}
	labels := strings.Split(name, ".")
	bad := !under || len(labels) > 2
	for _, l := range labels {
		bad = bad || wire.Label("name", l, 63) != nil
	}
	if bad {
		return fmt.Errorf("peer %q: want an address, a prefix such as 192.0.2.0/24, or a name of the cluster such as shop.internal, "+
			"cp.shop.internal or node101.shop.internal", r.Peer)
	}
	return nil
}

// Validate says what is wrong with a list of at most so many rules, or nil.
func Validate(rules []PacketRule, most int) error {
	if len(rules) > most {
		return fmt.Errorf("rules: there are %d, at most %d are allowed: write ranges and prefixes", len(rules), most)
	}
	names := map[string]bool{}
	for i, r := range rules {
		if err := r.Validate(); err != nil {
			return fmt.Errorf("rules[%d] %q: %w", i, r.Name, err)
		}
		if names[r.Name] {
			return fmt.Errorf("rules[%d] %q: the name is there twice: give each rule its own", i, r.Name)
		}
		names[r.Name] = true
	}
	return nil
}

// Merge is the rules of a layer with those of one of its nodes, sorted. A node's own stands in the place of the layer's of the same name.
func Merge(layer, own []PacketRule) []PacketRule {
	named := map[string]bool{}
	for _, r := range own {
		named[r.Name] = true
	}
	return Sort(append(slices.DeleteFunc(slices.Clone(layer), func(r PacketRule) bool { return named[r.Name] }), own...))
}

// Sort is the rules in the order in which they are looked at: by priority, of the same one those that deny first, then by name.
func Sort(rules []PacketRule) []PacketRule {
	out := slices.Clone(rules)
	slices.SortStableFunc(out, func(a, b PacketRule) int {
		return cmp.Or(a.Priority-b.Priority, strings.Compare(string(b.Action), string(a.Action)), strings.Compare(a.Name, b.Name))
	})
	return out
}
