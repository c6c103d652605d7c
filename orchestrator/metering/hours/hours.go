// Package hours decides what of a host's records of use counts in which hour of the clock, and for how many cloudlets.
//
// Owns: the rules: how a record is split between hours, what of an hour's sum is new beside its minutes, what a cloudlet-hour is.
// In: records as hosts gave them.
// Out: parts of records, each within one hour of the clock (UTC); cloudlets.
// Never: does I/O, reads a clock, or makes more or less of a counter than there is: all parts together are the record.
package hours

import (
	"errors"
	"fmt"
	"time"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/usage"
)

// Hour in seconds.
const Hour = int64(time.Hour / time.Second)

// most is the highest number that a counter may have: more would be years of a processor, and sums of it would overflow.
const most = int64(1) << 48

// longest is how long a record may be about: hosts keep none for longer.
const longest = 36 * 24 * time.Hour

// Part is what of a record is within one hour of the clock.
type Part struct {
	Start int64 // Unix seconds, when the hour begins
	usage.Record
}

// Check says why a record can't be counted, or nil: its host is not believed that a container lived for years or used less than nothing.
func Check(r usage.Record) error {
	var err error
	for name, n := range map[string]int64{"ramMean": r.RAMMean, "ramPeak": r.RAMPeak, "ramPeakAt": r.RAMPeakAt, "cpuMicros": r.CPUMicros,
		"read": r.Read, "written": r.Written, "netIn": r.NetIn, "netOut": r.NetOut, "disk": r.Disk, "reserved": int64(r.Reserved),
		"reads": r.Reads, "writes": r.Writes} {
		if n < 0 || n > most {
			err = errors.Join(err, fmt.Errorf("%s: %d, want 0 to %d", name, n, most))
		}
	}
	switch {
	case !(r.Seconds >= 0 && r.Seconds <= longest.Seconds()):
		err = errors.Join(err, fmt.Errorf("seconds: %g, want 0 to %g", r.Seconds, longest.Seconds()))
	case r.CTID <= 0:
		err = errors.Join(err, fmt.Errorf("ctid: %d", r.CTID))
	case r.End <= int64(longest/time.Second) || r.End > 1<<40:
		err = errors.Join(err, fmt.Errorf("end: %d is no time", r.End))
	case r.Account == "" || r.Env == "":
		err = errors.Join(err, errors.New("account, env: whose it was is not said"))
	}
	return err
}

// Split is a record that Check let pass, by the hours of the clock that it touches, in order. Counters are split by time. The peak is in
// the hour that its sample ended in; of the others no sample is known, and their mean counts.
func Split(r usage.Record) []Part {
	end := float64(r.End)
	begin := end - r.Seconds
	first, last := floor(begin), floor(end)
	if last > first && last == r.End { // it ends with an hour
		last -= Hour
	}
	if r.Seconds == 0 {
		first = last
	}
	var parts []Part
	peak := min(max(floor(float64(r.RAMPeakAt)-1), first), last) // of the sample's last second
	done := usage.Record{}
	for start := first; start <= last; start += Hour {
		p := Part{start, r}
		if start < last {
			upTo := (float64(start+Hour) - begin) / r.Seconds
			sum := share(r, upTo)
			p.Record = less(sum, done)
			p.End, done = start+Hour, sum
		} else {
			p.Record = less(r, done)
		}
		if start != peak && r.RAMPeakAt != 0 {
			p.RAMPeak, p.RAMPeakAt = r.RAMMean, p.End
		}
		parts = append(parts, p)
	}
	return parts
}

// floor is the begin of the hour that a time is in.
func floor(unix float64) int64 { return int64(unix) / Hour * Hour }

// share is a record with its counters up to a part of its time.
func share(r usage.Record, part float64) usage.Record {
	r.Seconds *= part
	for _, n := range counters(&r) {
		*n = int64(float64(*n) * part)
	}
	return r
}

// less is r without what was counted.
func less(r, counted usage.Record) usage.Record {
	r.Seconds = max(r.Seconds-counted.Seconds, 0)
	was := counters(&counted)
	for i, n := range counters(&r) {
		*n = max(*n-*was[i], 0)
	}
	return r
}

func counters(r *usage.Record) []*int64 {
	return []*int64{&r.CPUMicros, &r.Read, &r.Written, &r.Reads, &r.Writes, &r.NetIn, &r.NetOut}
}

// Rest is what of a host's record of an hour is not in counted, the sum of those of its minutes that were read one by one; false: nothing.
// Where the peak was among those, the mean of the rest counts for the rest.
func Rest(hour, counted usage.Record) (usage.Record, bool) {
	if counted.Seconds == 0 {
		return hour, true
	}
	r := less(hour, counted)
	if r.Seconds < 0.001 {
		return r, false
	}
	mean := (float64(hour.RAMMean)*hour.Seconds - float64(counted.RAMMean)*counted.Seconds) / r.Seconds
	r.RAMMean = max(int64(mean), 0)
	if r.RAMPeakAt != 0 && counted.RAMPeakAt == r.RAMPeakAt && counted.RAMPeak == r.RAMPeak {
		r.RAMPeak, r.RAMPeakAt = min(r.RAMMean, r.RAMPeak), hour.End
	}
	return r, true
}

// Use is what a node used in one hour of the clock, on all hosts that it was on.
type Use struct {
	RAMPeak  int64 // bytes
	CPUMHz   int64 // CPU time in µs × MHz of the host's processors, divided by Hour: microseconds of a 1 MHz processor a second
	Reserved int64 // cloudlets
}

// Cloudlets is how many cloudlets a node used in an hour: what it had of memory at its peak, or of CPU in the mean of the hour, whichever
// is more, rounded up. ram: memory decided; it does where both are the same.
func (u Use) Cloudlets() (n int64, ram bool) {
	memory := (u.RAMPeak + wire.CloudletBytes - 1) / wire.CloudletBytes
	each := wire.CloudletMHz * int64(time.Second/time.Microsecond)
	cpu := (u.CPUMHz + each - 1) / each
	return max(memory, cpu), memory >= cpu
}

// Beyond is how many cloudlets of those were not reserved.
func (u Use) Beyond() int64 {
	n, _ := u.Cloudlets()
	return max(n-u.Reserved, 0)
}
