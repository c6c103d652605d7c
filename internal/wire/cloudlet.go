package wire

// A cloudlet is 128 MiB of memory and 400 MHz of CPU together (DESIGN "Words").
const (
	CloudletBytes int64 = 128 << 20
	CloudletMHz   int64 = 400
)

// Cloudlets is the scaling range of one node, in cloudlets. Reserved ones are always kept for it; Dynamic is the limit it may
// grow to. 0 ≤ Reserved ≤ Dynamic, 1 ≤ Dynamic ≤ 4096.
type Cloudlets struct {
	Reserved int `json:"reserved" yaml:"reserved" minimum:"0" maximum:"4096" doc:"Cloudlets always kept for the node"`
	Dynamic  int `json:"dynamic" yaml:"dynamic" required:"true" minimum:"1" maximum:"4096" doc:"Cloudlets the node may grow to"`
}
