package operator

import (
	"time"

	"hardnode.dev/internal/wire"
)

// Span is how long a row of use is about. Days and months are those of UTC.
type Span string

// The spans.
const (
	SpanHour  Span = "hour"
	SpanDay   Span = "day"
	SpanMonth Span = "month"
	SpanAll   Span = "all" // all that was asked for is one row
)

// Spans names them.
const Spans = "hour, day, month or all"

// Known tells whether s is one.
func (s Span) Known() bool { return s == SpanHour || s == SpanDay || s == SpanMonth || s == SpanAll }

// Whole is what a row of use is of.
type Whole string

// The wholes.
const (
	ByAccount     Whole = "account"
	ByEnvironment Whole = "environment"
	ByNode        Whole = "node"
	ByHost        Whole = "host"
)

// Wholes names them.
const Wholes = "account, environment, node or host"

// Known tells whether w is one.
func (w Whole) Known() bool {
	return w == ByAccount || w == ByEnvironment || w == ByNode || w == ByHost
}

// Usage is what was used. Cloudlets are counted for each node and hour of the clock: max(highest sample of memory / 128 MiB, mean of CPU /
// 400 MHz), as a whole number, rounded up; memory without page cache. A sum of them is in cloudlet-hours.
type Usage struct {
	Items []UsageRow `json:"items"`
	Until time.Time  `json:"until,omitzero" doc:"All hosts have been read up to then: what is later may still grow"`
	Notes []string   `json:"notes,omitempty" doc:"What is lacking, and why"`
}

// UsageRow is what one whole used in one span.
type UsageRow struct {
	Start       time.Time    `json:"start" doc:"Begin of the hour, day or month"`
	Account     wire.Account `json:"account,omitempty" doc:"That had it at the time"`
	Environment wire.EnvName `json:"environment,omitempty" doc:"By the name that it had at the time"`
	Node        wire.CTID    `json:"node,omitempty"`
	Host        string       `json:"host,omitempty"`

	NodeHours     int64 `json:"nodeHours" doc:"Hours in which nodes were there, of all nodes together; one that was there for a part of an hour counts as one"`
	CloudletHours int64 `json:"cloudletHours" doc:"Of all nodes and hours together"`
	ByRAM         int64 `json:"byRAM" doc:"Those of them that memory decided"`
	ByCPU         int64 `json:"byCPU" doc:"Those of them that CPU decided"`
	ReservedHours int64 `json:"reservedHours" doc:"Cloudlets that were reserved, of all nodes and hours together"`
	BeyondHours   int64 `json:"beyondHours" doc:"What nodes used beyond what was reserved for them, hour by hour"`

	RAMPeak    int64     `json:"ramPeak" doc:"Highest sample of one node, in bytes: anonymous and shared memory, the kernel's for it, and what is swapped out; no page cache"`
	RAMPeakAt  time.Time `json:"ramPeakAt,omitzero" doc:"When that sample ended, by the host's clock; absent: none was taken"`
	PeakNode   wire.CTID `json:"peakNode,omitempty" doc:"Whose it is"`
	CPUSeconds float64   `json:"cpuSeconds" doc:"CPU time"`
	CPUMHz     float64   `json:"cpuMHz" doc:"Mean of all nodes together over the hours in which any was there, at the base frequency of their hosts' processors"`

	DiskGiBHours float64 `json:"diskGiBHours" doc:"Layers and volumes, running or not"`
	Read         int64   `json:"read" doc:"Bytes from disks"`
	Written      int64   `json:"written" doc:"Bytes to disks"`
	NetIn        int64   `json:"netIn" doc:"Bytes received"`
	NetOut       int64   `json:"netOut" doc:"Bytes sent"`
}
