package host

import (
	"slices"
	"strings"
)

// Protection is what keeps others from changing a host's system, as far as the machine tells. It is the same as long as the host runs.
type Protection struct {
	// SecureBoot is on, off, or setup: off, and whoever comes first may say what the firmware believes. "": the firmware knows none.
	SecureBoot string `json:"secureBoot,omitempty"`
	Lockdown   string `json:"lockdown,omitempty"` // of the kernel (kernel_lockdown(7)): none, integrity, confidentiality
}

// Clean is p without what no host of ours says.
func (p Protection) Clean() Protection {
	word := func(s string, known ...string) string {
		if slices.Contains(known, s) {
			return s
		}
		return ""
	}
	return Protection{SecureBoot: word(p.SecureBoot, "on", "off", "setup"),
		Lockdown: word(p.Lockdown, "none", "integrity", "confidentiality")}
}

// String is for people; "" when nothing is known.
func (p Protection) String() string {
	var parts []string
	if p.SecureBoot != "" {
		parts = append(parts, "secure boot: "+p.SecureBoot)
	}
	if p.Lockdown != "" {
		parts = append(parts, "lockdown: "+p.Lockdown)
	}
	return strings.Join(parts, ", ")
}
