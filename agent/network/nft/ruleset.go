// Package nft is nftables as data.
//
// Owns: the language of rules, sets and maps that agent/network writes; how a table is replaced in the kernel.
// In: a Ruleset.
// Out: its text, for people and tests; the table in the kernel, in one transaction.
// Never: knows what a rule is for.
package nft

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// Table is the name of the one table.
const Table = "hardnode"

// Ruleset is a table as data. Each part says both what it is in nft's language (String) and in the kernel's expressions, so that the text
// that tests compare and what is programmed come from the same value.
type Ruleset struct {
	sets   []*Set
	chains []*Chain
}

// Hook is where a base chain sits.
type Hook int

// The hooks; HookNone is a chain that others jump to.
const (
	HookNone Hook = iota
	HookInput
	HookForward
	HookPrerouting
	HookOutput
	HookPostrouting
	HookRawPrerouting // before the kernel knows of connections
	HookRawOutput     // likewise
)

var hooks = map[Hook]struct {
	kind   nftables.ChainType
	hook   *nftables.ChainHook
	prio   *nftables.ChainPriority
	policy nftables.ChainPolicy
	text   string
}{
	HookInput: {nftables.ChainTypeFilter, nftables.ChainHookInput, nftables.ChainPriorityFilter, nftables.ChainPolicyDrop,
		"type filter hook input priority 0; policy drop;"},
	HookForward: {nftables.ChainTypeFilter, nftables.ChainHookForward, nftables.ChainPriorityFilter, nftables.ChainPolicyDrop,
		"type filter hook forward priority 0; policy drop;"},
	HookPrerouting: {nftables.ChainTypeNAT, nftables.ChainHookPrerouting, nftables.ChainPriorityNATDest, nftables.ChainPolicyAccept,
		"type nat hook prerouting priority -100; policy accept;"},
	HookOutput: {nftables.ChainTypeNAT, nftables.ChainHookOutput, nftables.ChainPriorityNATDest, nftables.ChainPolicyAccept,
		"type nat hook output priority -100; policy accept;"},
	HookPostrouting: {nftables.ChainTypeNAT, nftables.ChainHookPostrouting, nftables.ChainPriorityNATSource, nftables.ChainPolicyAccept,
		"type nat hook postrouting priority 100; policy accept;"},
	HookRawPrerouting: {nftables.ChainTypeFilter, nftables.ChainHookPrerouting, nftables.ChainPriorityRaw, nftables.ChainPolicyAccept,
		"type filter hook prerouting priority -300; policy accept;"},
	HookRawOutput: {nftables.ChainTypeFilter, nftables.ChainHookOutput, nftables.ChainPriorityRaw, nftables.ChainPolicyAccept,
		"type filter hook output priority -300; policy accept;"},
}

// Chain is a list of rules.
type Chain struct {
	name  string
	hook  Hook
	rules []rule
}

type rule struct {
	why string
	ops []Op
}

// Op is one part of a rule: its text, and its expressions once the sets have been made.
type Op struct {
	text  string
	exprs func(sets map[string]*nftables.Set) []expr.Any
}

// Chain makes a chain.
func (r *Ruleset) Chain(name string, h Hook) *Chain {
	c := &Chain{name: name, hook: h}
	r.chains = append(r.chains, c)
	return c
}

// Add puts a rule at the end, with why it is there.
func (c *Chain) Add(why string, ops ...Op) { c.rules = append(c.rules, rule{why, ops}) }

// KeyType is what a set's key, or a map's value, is made of.
type KeyType struct {
	name  string
	types []nftables.SetDatatype
}

// The types.
var (
	Addr4            = KeyType{"ipv4_addr", []nftables.SetDatatype{nftables.TypeIPAddr}}
	Addr6            = KeyType{"ipv6_addr", []nftables.SetDatatype{nftables.TypeIP6Addr}}
	Mark32           = KeyType{"mark", []nftables.SetDatatype{nftables.TypeMark}}
	ProtoService     = KeyType{"inet_proto . inet_service", []nftables.SetDatatype{nftables.TypeInetProto, nftables.TypeInetService}}
	LinkName         = KeyType{"ifname", []nftables.SetDatatype{nftables.TypeIFName}}
	Verdict          = KeyType{"verdict", []nftables.SetDatatype{nftables.TypeVerdict}}
	LinkAddr4        = KeyType{"ifname . ipv4_addr", []nftables.SetDatatype{nftables.TypeIFName, nftables.TypeIPAddr}}
	LinkAddr6        = KeyType{"ifname . ipv6_addr", []nftables.SetDatatype{nftables.TypeIFName, nftables.TypeIP6Addr}}
	LinkProtoService = KeyType{"ifname . inet_proto . inet_service",
		[]nftables.SetDatatype{nftables.TypeIFName, nftables.TypeInetProto, nftables.TypeInetService}}
	Addr4Service  = KeyType{"ipv4_addr . inet_service", []nftables.SetDatatype{nftables.TypeIPAddr, nftables.TypeInetService}}
	Addr6Service  = KeyType{"ipv6_addr . inet_service", []nftables.SetDatatype{nftables.TypeIP6Addr, nftables.TypeInetService}}
	Addr4Mark     = KeyType{"ipv4_addr . mark", []nftables.SetDatatype{nftables.TypeIPAddr, nftables.TypeMark}}
	Addr6Mark     = KeyType{"ipv6_addr . mark", []nftables.SetDatatype{nftables.TypeIP6Addr, nftables.TypeMark}}
	Pair4         = KeyType{"ipv4_addr . ipv4_addr", []nftables.SetDatatype{nftables.TypeIPAddr, nftables.TypeIPAddr}}
	Pair6         = KeyType{"ipv6_addr . ipv6_addr", []nftables.SetDatatype{nftables.TypeIP6Addr, nftables.TypeIP6Addr}}
	errBadKeyType = "BUG: key type of set %q: %v"
)

func (k KeyType) datatype(set string) nftables.SetDatatype {
	if len(k.types) == 1 {
		return k.types[0]
	}
	t, err := nftables.ConcatSetType(k.types...)
	if err != nil {
		panic(fmt.Sprintf(errBadKeyType, set, err))
	}
	return t
}

// Set is a named set, or a map when data is set.
type Set struct {
	name     string
	key      KeyType
	data     *KeyType
	elements []element
	seen     map[string]bool
}

type element struct {
	key, val []byte
	jump     string // in place of val: the chain that is gone on in
	text     string
}

// Part is one component of a key: its bytes padded to whole 32-bit registers, and its text.
type Part struct {
	raw  []byte
	text string
}

// Set makes a set without elements.
func (r *Ruleset) Set(name string, k KeyType) *Set {
	s := &Set{name: name, key: k, seen: map[string]bool{}}
	r.sets = append(r.sets, s)
	return s
}

// Map makes a map without elements.
func (r *Ruleset) Map(name string, k, v KeyType) *Set {
	s := r.Set(name, k)
	s.data = &v
	return s
}

func join(parts []Part) (raw []byte, text string) {
	var texts []string
	for _, p := range parts {
		raw = append(raw, p.raw...)
		texts = append(texts, p.text)
	}
	return raw, strings.Join(texts, " . ")
}

// Add puts an element in; the same one twice is one.
func (s *Set) Add(key ...Part) { s.Put(key) }

// Put puts key and, for a map, value in; the first value of a key stays.
func (s *Set) Put(key []Part, val ...Part) {
	k, text := join(key)
	if s.seen[string(k)] {
		return
	}
	s.seen[string(k)] = true
	v, vtext := join(val)
	if s.data != nil {
		text += " : " + vtext
	}
	s.elements = append(s.elements, element{key: k, val: v, text: text})
}

// PutJump puts into a map of verdicts that packets with this key go on in a chain, and come back from it.
func (s *Set) PutJump(chain string, key ...Part) {
	k, text := join(key)
	s.elements = append(s.elements, element{key: k, jump: chain, text: text + " : jump " + chain})
}

func pad(b []byte) []byte {
	for len(b)%4 != 0 {
		b = append(b, 0)
	}
	return b
}

// Address is an address as a component.
func Address(a netip.Addr) Part { return Part{a.AsSlice(), a.String()} }

// Link is the name of a link as one.
func Link(name string) Part { return Part{linkName(name), `"` + name + `"`} }

// Port is a port as one.
func Port(p uint16) Part {
	return Part{pad(binary.BigEndian.AppendUint16(nil, p)), fmt.Sprint(p)}
}

// Mark is a number as one.
func Mark(m uint32) Part { return Part{binary.NativeEndian.AppendUint32(nil, m), fmt.Sprint(m)} }

// ProtoPort is a protocol, "tcp" or "udp", with a port of it.
func ProtoPort(proto string, p uint16) Part {
	n := byte(unix.IPPROTO_TCP)
	if proto == "udp" {
		n = unix.IPPROTO_UDP
	}
	return Part{slices.Concat([]byte{n, 0, 0, 0}, Port(p).raw), fmt.Sprintf("%s . %d", proto, p)}
}

// linkName is a link's name as the kernel compares it: 16 bytes, zero-filled.
func linkName(name string) []byte {
	b := make([]byte, unix.IFNAMSIZ)
	copy(b, name)
	return b
}

// Sets and Chains are how many there are.
func (r *Ruleset) Sets() int   { return len(r.sets) }
func (r *Ruleset) Chains() int { return len(r.chains) }

// String is the ruleset in nft's language, sets with their elements, one rule a line with its reason.
func (r *Ruleset) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "table inet %s {\n", Table)
	for _, s := range r.sets {
		kind, typ := "set", s.key.name
		if s.data != nil {
			kind, typ = "map", s.key.name+" : "+s.data.name
		}
		fmt.Fprintf(&b, "  %s %s { type %s;", kind, s.name, typ)
		for i, e := range s.elements {
			if i == 0 {
				b.WriteString("\n")
			}
			fmt.Fprintf(&b, "    %s\n", e.text)
		}
		if len(s.elements) > 0 {
			b.WriteString("  }\n")
		} else {
			b.WriteString(" }\n")
		}
	}
	for _, c := range r.chains {
		fmt.Fprintf(&b, "  chain %s {", c.name)
		if c.hook != HookNone {
			b.WriteString(" " + hooks[c.hook].text)
		}
		b.WriteString("\n")
		for _, ru := range c.rules {
			var texts []string
			for _, o := range ru.ops {
				texts = append(texts, o.text)
			}
			fmt.Fprintf(&b, "    %s # %s\n", strings.Join(texts, " "), ru.why)
		}
		b.WriteString("  }\n")
	}
	b.WriteString("}\n")
	return b.String()
}
