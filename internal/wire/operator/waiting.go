package operator

import "time"

// WaitingHost is a machine without a join token that asks to be let in. All but Code and Address is what it says of itself.
type WaitingHost struct {
	Code    string    `json:"code" doc:"Of its key and this cluster's CA: compare it with the machine's console before you admit it"`
	Address string    `json:"address" doc:"Where it asks from; of IPv6 the first 64 bits"`
	MACs    []string  `json:"macs,omitempty" doc:"A hint, as all that it says of its hardware"`
	Serial  string    `json:"serial,omitempty"`
	Model   string    `json:"model,omitempty"`
	UUID    string    `json:"uuid,omitempty"`
	Disks   []string  `json:"disks,omitempty"`
	Version string    `json:"version"`
	Since   time.Time `json:"since"`
	Asked   time.Time `json:"asked" doc:"When it asked last"`
	Twice   bool      `json:"twice,omitempty" doc:"Two machines have this key, and so this code: neither can be admitted"`
}

// AdmitHost lets a waiting machine join.
type AdmitHost struct {
	Name string `json:"name,omitempty" maxLength:"63" doc:"Name the host gets; empty makes one up"`
	Role string `json:"role,omitempty" enum:"user,infra,hypervisor" doc:"user without one"`
}

// AdmittedHost says what was allowed: the machine joins when it asks next.
type AdmittedHost struct {
	Code    string    `json:"code"`
	Name    string    `json:"name,omitempty"`
	Role    string    `json:"role"`
	Expires time.Time `json:"expires" doc:"It must have joined by then"`
}
