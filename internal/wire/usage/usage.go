// Package usage is what containers have used: what is asked of a host's meter, and its answer.
//
// Owns: the records of use and the question that they are pulled by.
// In: documents of neighbouring versions.
// Out: checked values.
// Never: measures anything, or says what use costs.
//
// History: 2026-11-27 version 1. 2026-11-29 Answer.MHz; of a Record RAMMean, RAMPeak, RAMPeakAt, Env, Account, Reserved, and records of
// containers that don't run, which have disk alone.
package usage

import (
	"fmt"

	"hardnode.dev/internal/wire"
)

// Step is how long a record is about.
type Step string

// The steps, and how long a host keeps records of each.
const (
	Sample Step = "sample" // 5 seconds; 10 minutes, in memory: they are lost when the agent is started anew
	Minute Step = "minute" // 24 hours
	Hour   Step = "hour"   // 35 days
)

// PerHour is how many revisions of minutes there are to one of hours: revision n of hours sums those from PerHour·(n-1)+1 to PerHour·n up.
const PerHour = 60

// Ask pulls the records of one step. Each step has revisions of its own: one for each time that records were made, of all containers
// together. A reader that asks from the last revision it has read gets each record once.
type Ask struct {
	Step  Step          `json:"step"`
	Since wire.Revision `json:"since,omitempty"` // records of later revisions; 0: all that are kept
	From  int64         `json:"from,omitempty"`  // Unix seconds: none that ended before
	CTID  wire.CTID     `json:"ctid,omitempty"`  // of this container alone; 0: of all
}

// Validate says what is wrong with a question, or nil.
func (a Ask) Validate() error {
	switch {
	case a.Step != Sample && a.Step != Minute && a.Step != Hour:
		return fmt.Errorf("step %q: want %s, %s or %s", a.Step, Sample, Minute, Hour)
	case a.Since < 0 || a.From < 0 || a.CTID < 0:
		return fmt.Errorf("since %d, from %d, container %d: want numbers from 0 on", a.Since, a.From, a.CTID)
	}
	return nil
}

// Answer has the records by revision. Read on from Next until More is false.
type Answer struct {
	Book    string        `json:"book"` // names this series of revisions: another one begins with a new disk
	Next    wire.Revision `json:"next"` // the last revision that this answer is about
	More    bool          `json:"more,omitempty"`
	Gone    wire.Revision `json:"gone,omitempty"` // the last revision that is not kept any more; records up to it are lost to who has not read them
	MHz     int64         `json:"mhz,omitempty"`  // base frequency of one of the host's processors; 0: an earlier host, which does not say
	Records []Record      `json:"records"`
}

// Record is what one container used in one stretch of time. Stretches of a container don't overlap, whatever the host's clock does.
type Record struct {
	CTID     wire.CTID     `json:"ctid"`
	Revision wire.Revision `json:"revision"`
	End      int64         `json:"end"`     // Unix seconds, of the host's clock when it was written
	Seconds  float64       `json:"seconds"` // how long it is about, by a clock that nobody sets
	// Bytes of memory, page cache included: the mean of all samples, and the most that the kernel saw at any moment.
	MemoryMean int64 `json:"memoryMean"`
	MemoryPeak int64 `json:"memoryPeak"`
	// Bytes of memory that count as used: anonymous and shared memory, the kernel's for it, and what is swapped out. Page cache is left
	// out: the kernel takes that back when anybody needs the memory. The mean and the highest of the samples, and when the first sample
	// with the highest ended, in Unix seconds; that is 0 where none was taken: it did not run, or its host is an earlier one.
	RAMMean   int64 `json:"ramMean,omitempty"`
	RAMPeak   int64 `json:"ramPeak,omitempty"`
	RAMPeakAt int64 `json:"ramPeakAt,omitempty"`
	CPUMicros int64 `json:"cpuMicros"`         // CPU time
	CPUPeak   int64 `json:"cpuPeak,omitempty"` // µs of CPU time a second, in the sample with the most
	Read      int64 `json:"read,omitempty"`    // bytes from disks
	Written   int64 `json:"written,omitempty"` // bytes to disks
	Reads     int64 `json:"reads,omitempty"`   // operations
	Writes    int64 `json:"writes,omitempty"`
	NetIn     int64 `json:"netIn,omitempty"`  // bytes that it received
	NetOut    int64 `json:"netOut,omitempty"` // bytes that it sent
	Disk      int64 `json:"disk,omitempty"`   // bytes of its layer and volumes at the end
	// Whose it was, and how many cloudlets were reserved for it, as its host was told when the record was written. Hour's records of a
	// container that went to another account meanwhile are two. Earlier hosts don't say; samples don't either.
	Env      wire.EnvName `json:"env,omitempty"`
	Account  wire.Account `json:"account,omitempty"`
	Reserved int          `json:"reserved,omitempty"`
}

// Add is both records as one.
func (r Record) Add(o Record) Record {
	if s := r.Seconds + o.Seconds; s > 0 {
		r.MemoryMean = int64((float64(r.MemoryMean)*r.Seconds + float64(o.MemoryMean)*o.Seconds) / s)
		r.RAMMean = int64((float64(r.RAMMean)*r.Seconds + float64(o.RAMMean)*o.Seconds) / s)
		r.Seconds = s
	}
	if o.RAMPeakAt != 0 && (r.RAMPeakAt == 0 || o.RAMPeak > r.RAMPeak) {
		r.RAMPeak, r.RAMPeakAt = o.RAMPeak, o.RAMPeakAt
	}
	r.MemoryPeak, r.CPUPeak = max(r.MemoryPeak, o.MemoryPeak), max(r.CPUPeak, o.CPUPeak)
	r.CPUMicros += o.CPUMicros
	r.Read, r.Written, r.Reads, r.Writes = r.Read+o.Read, r.Written+o.Written, r.Reads+o.Reads, r.Writes+o.Writes
	r.NetIn, r.NetOut = r.NetIn+o.NetIn, r.NetOut+o.NetOut
	r.CTID, r.End, r.Disk = o.CTID, o.End, o.Disk
	r.Env, r.Account, r.Reserved = o.Env, o.Account, o.Reserved
	return r
}
