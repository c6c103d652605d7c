package sys

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strings"
	"testing"
)

// btfType is one entry of a type section.
type btfType struct {
	name    string
	kind    int
	members int
}

// btfOf makes BTF of types; the names of the rest are there too.
func btfOf(types []btfType, rest ...string) []byte {
	var section, names bytes.Buffer
	names.WriteByte(0)
	at := map[string]uint32{"": 0}
	name := func(n string) uint32 {
		if _, ok := at[n]; !ok {
			at[n] = uint32(names.Len())
			names.WriteString(n + "\x00")
		}
		return at[n]
	}
	for _, n := range rest {
		name(n)
	}
	for _, t := range types {
		binary.Write(&section, binary.LittleEndian, []uint32{name(t.name), uint32(t.kind<<24 | t.members), 0})
		tail := 0
		if t.kind < len(btfTail) {
			tail = btfTail[t.kind].fixed + t.members*btfTail[t.kind].member
		}
		section.Write(bytes.Repeat([]byte{0xff}, tail))
	}
	var out bytes.Buffer
	binary.Write(&out, binary.LittleEndian, btfHeader{Magic: btfMagic, Version: 1, HdrLen: 24,
		TypeLen: uint32(section.Len()), StrOff: uint32(section.Len()), StrLen: uint32(names.Len())})
	out.Write(section.Bytes())
	out.Write(names.Bytes())
	return out.Bytes()
}

func TestFunctionIDs(t *testing.T) {
	every := []btfType{{"open", btfKindFunc, 0}}
	for kind := 1; kind < len(btfTail); kind++ { // one of each kind, with members, before what is looked for
		every = append(every, btfType{"k", kind, 3})
	}
	every = append(every, btfType{"a", 12, 0}, btfType{"pt_regs", 4, 70}, btfType{"ab", 12, 0})
	long := []btfType{{strings.Repeat("n", 5000), 4, 65535}, {"b", 12, 1}, {"a", 4, 2}, {"a", 12, 0}}
	whole := btfOf(every, "xa", "aa")
	for name, c := range map[string]struct {
		btf  []byte
		want string
	}{
		"every kind":      {whole, "[21 23] <nil>"},
		"long ones":       {btfOf(append(long, btfType{"ab", 12, 0})), "[4 5] <nil>"},
		"of another kind": {btfOf([]btfType{{"a", 12, 0}, {"ab", 4, 1}}), "[] ab is no function in it"},
		"not there":       {btfOf([]btfType{{"a", 12, 0}}, "xab", "abx", "b"), "[] ab is not named in it"},
		"nothing":         {btfOf(nil), "[] a is not named in it"},
		"kind of another year": {btfOf([]btfType{{"a", 12, 0}, {"x", 20, 0}, {"ab", 12, 0}}),
			"[] type 2 is of kind 20, which is not known"},
		"empty":  {nil, "[] read header: EOF"},
		"no BTF": {make([]byte, 100), "[] its first bytes are 0x0, want 0xeb9f"},
	} {
		ids, err := functionIDs(bytes.NewReader(c.btf), "a", "ab")
		if got := fmt.Sprint(ids, " ", err); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
	for n := range whole { // a torn file is an error, wherever it is torn
		if ids, err := functionIDs(bytes.NewReader(whole[:n]), "a", "ab"); err == nil {
			t.Fatalf("of %d bytes of %d: %v", n, len(whole), ids)
		}
	}
}
