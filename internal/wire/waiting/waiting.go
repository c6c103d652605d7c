// Package waiting is what a machine without a join token and its orchestrator tell each other until a person admits it.
//
// Owns: Request and Reply, and what of a stranger's words may be shown to people.
// In: JSON between neighbouring versions (internal/wire/neighbour).
// Out: a Request whose fields are short and printable.
// Never: is a proof of anything but the key that signed the CSR: what a machine says of its hardware is a hint.
//
// History: 2026-11-26 version 1.
package waiting

import (
	"fmt"
	"net"
	"strings"
	"time"

	"hardnode.dev/internal/wire/host"
)

// Path is where a machine asks (POST Request → Reply), at the host API, without a client certificate. Orchestrators of version 0.1 don't
// know it.
const Path = "/host/v1/waiting"

// Every is how long a machine waits between two asks.
const Every = 3 * time.Second

// Bounds of what is kept of a machine's words.
const (
	maxText  = 64 // characters
	maxMACs  = 8
	maxDisks = 16
)

// Request asks to be let in. CSR is PKCS #10 DER of an Ed25519 key the machine made.
type Request struct {
	CSR     []byte  `json:"csr"`
	Version string  `json:"version"`
	Machine Machine `json:"machine"`
}

// Machine is what tells a machine from others in a person's eyes; any field may be empty.
type Machine struct {
	UUID   string   `json:"uuid,omitempty"`   // SMBIOS system UUID
	Serial string   `json:"serial,omitempty"` // SMBIOS serial number of the system
	Model  string   `json:"model,omitempty"`  // its maker and product name
	MACs   []string `json:"macs,omitempty"`
	Disks  []Disk   `json:"disks,omitempty"`
}

// Disk is one disk of a machine.
type Disk struct {
	Name   string `json:"name"` // vda
	Bytes  int64  `json:"bytes"`
	Model  string `json:"model,omitempty"`
	Serial string `json:"serial,omitempty"`
}

// String is "vda 8.0 GiB QEMU serial 7".
func (d Disk) String() string {
	words := []string{d.Name, fmt.Sprintf("%.1f GiB", float64(d.Bytes)/(1<<30))}
	if d.Model != "" {
		words = append(words, d.Model)
	}
	if d.Serial != "" {
		words = append(words, "serial "+d.Serial)
	}
	return strings.Join(words, " ")
}

// Reply says how it stands.
type Reply struct {
	// Code is the one that the orchestrator has for the machine's key and its own CA: a person compares it with the machine's console.
	Code string `json:"code"`
	// Again is how many milliseconds the machine shall wait before it asks again; 0 leaves it to the machine.
	Again int64 `json:"again,omitempty"`
	// Enrolled is the machine's identity, once a person has admitted it.
	Enrolled *host.EnrollReply `json:"enrolled,omitempty"`
}

// Clean is m with only what may be shown: a stranger wrote it.
func (m Machine) Clean() Machine {
	out := Machine{UUID: Text(m.UUID), Serial: Text(m.Serial), Model: Text(m.Model)}
	for _, a := range m.MACs[:min(len(m.MACs), maxMACs)] {
		if mac, err := net.ParseMAC(a); err == nil && len(mac) == 6 {
			out.MACs = append(out.MACs, mac.String())
		}
	}
	for _, d := range m.Disks[:min(len(m.Disks), maxDisks)] {
		out.Disks = append(out.Disks, Disk{Name: Text(d.Name), Bytes: max(d.Bytes, 0), Model: Text(d.Model), Serial: Text(d.Serial)})
	}
	return out
}

// Text is s as it may be shown: printable ASCII, in one line, of bounded length.
func Text(s string) string {
	var b strings.Builder
	for _, r := range s {
		if r >= ' ' && r < 0x7f {
			b.WriteRune(r)
		}
		if b.Len() == maxText {
			break
		}
	}
	return strings.Join(strings.Fields(b.String()), " ")
}
