package jem

import (
	"encoding/json"
	"fmt"
	"os"
	"unicode"

	"hardnode.dev/internal/wire/neighbour"
)

// ToldBy is the variable that holds a Told when the host starts JEM.
const ToldBy = "HARDNODE_JEM"

// Told is what only the host knows: JEM gets it when it is started. All of it may be left out: a person in the container may start JEM too.
type Told struct {
	Key       string `json:"key,omitempty"`       // the call's idempotency key
	DiskUsed  int64  `json:"diskUsed,omitempty"`  // bytes of the container's own layer: df sees no quota
	DiskLimit int64  `json:"diskLimit,omitempty"` // bytes; 0 is not known
	Memory    int64  `json:"memory,omitempty"`    // bytes the container may use
	MilliCPU  int64  `json:"milliCPU,omitempty"`  // thousandths of a CPU it may use
}

// fullAt is the share of its quota, in percent, at which a container gets no more from JEM.
const fullAt = 97

// Full tells whether so much of the quota is used that what needs room had better not begin.
func (t Told) Full() bool { return t.DiskLimit > 0 && t.DiskUsed/100 >= t.DiskLimit/10000*fullAt }

// Encode is the value of ToldBy.
func (t Told) Encode() string {
	b, err := json.Marshal(t)
	if err != nil {
		panic("BUG: encode what JEM is told: " + err.Error())
	}
	return string(b)
}

// ToldNow is what this process was told; nothing, if it was not started by a host.
func ToldNow() (Told, error) {
	text := os.Getenv(ToldBy)
	if text == "" {
		return Told{}, nil
	}
	var t Told
	if err := neighbour.Decode([]byte(text), &t); err != nil {
		return Told{}, fmt.Errorf("%s: %v", ToldBy, err)
	}
	return t, ValidKey(t.Key)
}

// ValidKey checks an idempotency key; "" is none.
func ValidKey(key string) error {
	if len(key) > 128 {
		return fmt.Errorf("idempotency key: has %d bytes, at most 128 are allowed", len(key))
	}
	for _, r := range key {
		if r == unicode.ReplacementChar || !unicode.IsPrint(r) {
			return fmt.Errorf("idempotency key %q: has a character that can't be printed", key)
		}
	}
	return nil
}
