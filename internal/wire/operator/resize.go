package operator

import (
	"reflect"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/tune"
)

// ResizeNode changes what a node may use, by hand: what is left out stays. It holds within a second, without a restart, until the node is
// replaced by one made as its topology says.
type ResizeNode struct {
	Cloudlets *wire.Cloudlets `json:"cloudlets,omitempty" doc:"Memory and CPU together; memoryMiB and cpuMHz, if given, stand for their parts"`
	MemoryMiB *int64          `json:"memoryMiB,omitempty" minimum:"16" maximum:"524288"`
	CPUMHz    *int64          `json:"cpuMHz,omitempty" minimum:"0" maximum:"10000000" doc:"0 is no ceiling"`
	PIDs      *int64          `json:"pids,omitempty" minimum:"16" maximum:"1000000" doc:"Processes and threads"`
	DiskMiB   *int64          `json:"diskMiB,omitempty" minimum:"64" maximum:"16777216" doc:"Of its own layer; volumes have sizes of their own"`
	Volumes   []VolumeSize    `json:"volumes,omitempty" maxItems:"20" doc:"Quotas of its volumes"`
	Rates
}

// Empty tells whether nothing is to be changed.
func (r ResizeNode) Empty() bool { return reflect.DeepEqual(r, ResizeNode{}) }

// VolumeSize is the quota of one volume.
type VolumeSize struct {
	Name    string `json:"name" required:"true" maxLength:"40"`
	DiskMiB int64  `json:"diskMiB" required:"true" minimum:"16" maximum:"16777216"`
}

// Rates are what a node may use in a second; 0 is no limit.
type Rates struct {
	ReadKiB    *int64 `json:"readKiB,omitempty" minimum:"0" maximum:"1073741824" doc:"KiB a second from each disk; 0 is no limit"`
	WriteKiB   *int64 `json:"writeKiB,omitempty" minimum:"0" maximum:"1073741824" doc:"KiB a second to each disk; 0 is no limit"`
	ReadOps    *int64 `json:"readOps,omitempty" minimum:"0" maximum:"4294967294" doc:"Reads a second from each disk; 0 is no limit"`
	WriteOps   *int64 `json:"writeOps,omitempty" minimum:"0" maximum:"4294967294" doc:"Writes a second to each disk; 0 is no limit"`
	NetInKbit  *int64 `json:"netInKbit,omitempty" minimum:"0" maximum:"34000000" doc:"Kilobits a second that it receives; 0 is no limit"`
	NetOutKbit *int64 `json:"netOutKbit,omitempty" minimum:"0" maximum:"34000000" doc:"Kilobits a second that it sends; 0 is no limit"`
	SwapMiB    *int64 `json:"swapMiB,omitempty" minimum:"-1" maximum:"524288" doc:"Of its memory that may be swapped out; 0 is half of its memory, -1 none"`
}

// NodeSize is what a node may use now; in Rates 0 is no limit.
type NodeSize struct {
	CTID      wire.CTID      `json:"ctid"`
	Cloudlets wire.Cloudlets `json:"cloudlets"`
	MemoryMiB int64          `json:"memoryMiB"`
	CPUMHz    int64          `json:"cpuMHz"`
	PIDs      int64          `json:"pids"`
	DiskMiB   int64          `json:"diskMiB"`
	Volumes   []VolumeSize   `json:"volumes,omitempty" doc:"Quotas of its volumes; 0 is no limit"`
	Tuned     tune.Tuned     `json:"tuned,omitzero" doc:"What its servers made of its last new size, since its host's agent started"`
	Rates
}
