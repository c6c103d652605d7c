package network

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

// ruleset is a table as data. Each part says both what it is in nft's language (String) and in the kernel's expressions, so that the text
// that tests compare and what is programmed come from the same value.
type ruleset struct {
	sets   []*set
	chains []*chain
}

// hook is where a base chain sits; hookNone is a chain that others jump to.
type hook int

const (
	hookNone hook = iota
	hookInput
	hookForward
	hookPrerouting
	hookOutput
	hookPostrouting
)

var hooks = map[hook]struct {
	kind   nftables.ChainType
	hook   *nftables.ChainHook
	prio   *nftables.ChainPriority
	policy nftables.ChainPolicy
	text   string
}{
	hookInput: {nftables.ChainTypeFilter, nftables.ChainHookInput, nftables.ChainPriorityFilter, nftables.ChainPolicyDrop,
		"type filter hook input priority 0; policy drop;"},
	hookForward: {nftables.ChainTypeFilter, nftables.ChainHookForward, nftables.ChainPriorityFilter, nftables.ChainPolicyDrop,
		"type filter hook forward priority 0; policy drop;"},
	hookPrerouting: {nftables.ChainTypeNAT, nftables.ChainHookPrerouting, nftables.ChainPriorityNATDest, nftables.ChainPolicyAccept,
		"type nat hook prerouting priority -100; policy accept;"},
	hookOutput: {nftables.ChainTypeNAT, nftables.ChainHookOutput, nftables.ChainPriorityNATDest, nftables.ChainPolicyAccept,
		"type nat hook output priority -100; policy accept;"},
	hookPostrouting: {nftables.ChainTypeNAT, nftables.ChainHookPostrouting, nftables.ChainPriorityNATSource, nftables.ChainPolicyAccept,
		"type nat hook postrouting priority 100; policy accept;"},
}

type chain struct {
	name  string
	hook  hook
	rules []rule
}

type rule struct {
	why string
	ops []op
}

// op is one part of a rule: its text, and its expressions once the sets have been made.
type op struct {
	text  string
	exprs func(sets map[string]*nftables.Set) []expr.Any
}

func (r *ruleset) chain(name string, h hook) *chain {
	c := &chain{name: name, hook: h}
	r.chains = append(r.chains, c)
	return c
}

func (c *chain) add(why string, ops ...op) { c.rules = append(c.rules, rule{why, ops}) }

// keyType is what a set's key, or a map's value, is made of.
type keyType struct {
	name  string
	types []nftables.SetDatatype
}

var (
	keyAddr4         = keyType{"ipv4_addr", []nftables.SetDatatype{nftables.TypeIPAddr}}
	keyAddr6         = keyType{"ipv6_addr", []nftables.SetDatatype{nftables.TypeIP6Addr}}
	keyMark          = keyType{"mark", []nftables.SetDatatype{nftables.TypeMark}}
	keyProtoPort     = keyType{"inet_proto . inet_service", []nftables.SetDatatype{nftables.TypeInetProto, nftables.TypeInetService}}
	keyLinkAddr4     = keyType{"ifname . ipv4_addr", []nftables.SetDatatype{nftables.TypeIFName, nftables.TypeIPAddr}}
	keyLinkAddr6     = keyType{"ifname . ipv6_addr", []nftables.SetDatatype{nftables.TypeIFName, nftables.TypeIP6Addr}}
	keyLinkProtoPort = keyType{"ifname . inet_proto . inet_service",
		[]nftables.SetDatatype{nftables.TypeIFName, nftables.TypeInetProto, nftables.TypeInetService}}
	keyAddr4Port  = keyType{"ipv4_addr . inet_service", []nftables.SetDatatype{nftables.TypeIPAddr, nftables.TypeInetService}}
	keyAddr6Port  = keyType{"ipv6_addr . inet_service", []nftables.SetDatatype{nftables.TypeIP6Addr, nftables.TypeInetService}}
	keyAddr4Mark  = keyType{"ipv4_addr . mark", []nftables.SetDatatype{nftables.TypeIPAddr, nftables.TypeMark}}
	keyAddr6Mark  = keyType{"ipv6_addr . mark", []nftables.SetDatatype{nftables.TypeIP6Addr, nftables.TypeMark}}
	keyPair4      = keyType{"ipv4_addr . ipv4_addr", []nftables.SetDatatype{nftables.TypeIPAddr, nftables.TypeIPAddr}}
	errBadKeyType = "BUG: key type of set %q: %v"
)

func (k keyType) datatype(set string) nftables.SetDatatype {
	if len(k.types) == 1 {
		return k.types[0]
	}
	t, err := nftables.ConcatSetType(k.types...)
	if err != nil {
		panic(fmt.Sprintf(errBadKeyType, set, err))
	}
	return t
}

// set is a named set, or a map when data is set.
type set struct {
	name     string
	key      keyType
	data     *keyType
	elements []element
	seen     map[string]bool
}

type element struct {
	key, val []byte
	text     string
}

// part is one component of a key: its bytes padded to whole 32-bit registers, and its text.
type part struct {
	raw  []byte
	text string
}

func (r *ruleset) set(name string, k keyType) *set {
	s := &set{name: name, key: k, seen: map[string]bool{}}
	r.sets = append(r.sets, s)
	return s
}

func (r *ruleset) mapping(name string, k, v keyType) *set {
	s := r.set(name, k)
	s.data = &v
	return s
}

func join(parts []part) (raw []byte, text string) {
	var texts []string
	for _, p := range parts {
		raw = append(raw, p.raw...)
		texts = append(texts, p.text)
	}
	return raw, strings.Join(texts, " . ")
}

// add puts an element in; the same one twice is one.
func (s *set) add(key ...part) { s.put(key) }

// put puts key and, for a map, value in; the first value of a key stays.
func (s *set) put(key []part, val ...part) {
	k, text := join(key)
	if s.seen[string(k)] {
		return
	}
	s.seen[string(k)] = true
	v, vtext := join(val)
	if s.data != nil {
		text += " : " + vtext
	}
	s.elements = append(s.elements, element{k, v, text})
}

func pad(b []byte) []byte {
	for len(b)%4 != 0 {
		b = append(b, 0)
	}
	return b
}

func addr(a netip.Addr) part { return part{a.AsSlice(), a.String()} }
func link(name string) part  { return part{linkName(name), `"` + name + `"`} }
func port(p uint16) part {
	return part{pad(binary.BigEndian.AppendUint16(nil, p)), fmt.Sprint(p)}
}
func mark(m uint32) part { return part{binary.NativeEndian.AppendUint32(nil, m), fmt.Sprint(m)} }
func protoPort(proto string, p uint16) part {
	n := byte(unix.IPPROTO_TCP)
	if proto == "udp" {
		n = unix.IPPROTO_UDP
	}
	return part{slices.Concat([]byte{n, 0, 0, 0}, port(p).raw), fmt.Sprintf("%s . %d", proto, p)}
}

// linkName is a link's name as the kernel compares it: 16 bytes, zero-filled.
func linkName(name string) []byte {
	b := make([]byte, unix.IFNAMSIZ)
	copy(b, name)
	return b
}

// String is the ruleset in nft's language, sets with their elements, one rule a line with its reason.
func (r *ruleset) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "table inet %s {\n", tableName)
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
		if c.hook != hookNone {
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
