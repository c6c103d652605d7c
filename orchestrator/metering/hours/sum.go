package hours

import (
	"cmp"
	"slices"
	"time"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/operator"
)

// Row is what one node used in one hour of the clock on one host, as what one environment of one account.
type Row struct {
	Start   int64 // Unix seconds
	CTID    wire.CTID
	Account wire.Account
	Env     wire.EnvName
	Host    wire.HostID

	Seconds                      float64 // of the hour that it was there
	RAMPeak, RAMPeakAt           int64
	CPUMicros, CPUMHz            int64 // CPU time, and that multiplied by the host's MHz
	Reserved                     int64
	DiskSeconds                  float64 // bytes × seconds
	Read, Written, NetIn, NetOut int64
}

// RowOf is a part of a record of a host whose processors have that many MHz.
func RowOf(p Part, host wire.HostID, mhz int64) Row {
	return Row{Start: p.Start, CTID: p.CTID, Account: p.Account, Env: p.Env, Host: host, Seconds: p.Seconds, RAMPeak: p.RAMPeak,
		RAMPeakAt: p.RAMPeakAt, CPUMicros: p.CPUMicros, CPUMHz: p.CPUMicros * mhz, Reserved: int64(p.Reserved),
		DiskSeconds: float64(p.Disk) * p.Seconds, Read: p.Read, Written: p.Written, NetIn: p.NetIn, NetOut: p.NetOut}
}

// Add is both rows of one node, hour and host as one.
func (r Row) Add(o Row) Row {
	if o.RAMPeakAt != 0 && (r.RAMPeakAt == 0 || o.RAMPeak > r.RAMPeak) {
		r.RAMPeak, r.RAMPeakAt = o.RAMPeak, o.RAMPeakAt
	}
	r.Seconds, r.CPUMicros, r.CPUMHz = r.Seconds+o.Seconds, r.CPUMicros+o.CPUMicros, r.CPUMHz+o.CPUMHz
	r.Reserved, r.DiskSeconds = max(r.Reserved, o.Reserved), r.DiskSeconds+o.DiskSeconds
	r.Read, r.Written, r.NetIn, r.NetOut = r.Read+o.Read, r.Written+o.Written, r.NetIn+o.NetIn, r.NetOut+o.NetOut
	return r
}

// Whose is which node's row it is, in which hour.
func (r Row) Whose() Row {
	return Row{Start: r.Start, CTID: r.CTID, Account: r.Account, Env: r.Env, Host: r.Host}
}

// Sum adds rows up to what is asked for. They come ordered by hour, node, account and environment. The zero value is of no use: see NewSum.
type Sum struct {
	span  operator.Span
	by    operator.Whole
	from  int64
	named func(wire.HostID) string
	node  Row     // of the node's hour that is open
	rate  float64 // the most bytes on disk of it on one host
	open  bool
	sums  map[operator.UsageRow]*sum
}

// sum is a row of the answer while it grows.
type sum struct {
	operator.UsageRow
	cpuMHz      float64
	cpuMicros   int64
	diskSeconds float64
	hours, last int64 // hours of the clock in which any of its nodes was there
}

// NewSum begins to add up what was used from a time on. named is what a host is called.
func NewSum(from int64, span operator.Span, by operator.Whole, named func(wire.HostID) string) *Sum {
	return &Sum{span: span, by: by, from: from, named: named, sums: map[operator.UsageRow]*sum{}}
}

// Len is how many rows there are.
func (s *Sum) Len() int { return len(s.sums) }

// Add adds a row.
func (s *Sum) Add(r Row) {
	if s.by != operator.ByHost {
		r.Host = ""
	}
	rate := 0.0
	if r.Seconds > 0 {
		rate = r.DiskSeconds / r.Seconds
	}
	if !s.open || s.node.Whose() != r.Whose() {
		s.close()
		s.node, s.rate, s.open = r, rate, true
		return
	}
	s.node = s.node.Add(r) // it moved in this hour
	// While it moves both hosts have its data: that is not the node's use.
	s.rate = max(s.rate, rate)
	s.node.DiskSeconds = min(s.node.DiskSeconds, s.rate*float64(Hour))
}

// close adds the node's hour that is open.
func (s *Sum) close() {
	if !s.open {
		return
	}
	s.open = false
	n := s.node
	if n.RAMPeak == 0 && n.CPUMicros == 0 { // stopped or frozen all the time: it pays disk only
		n.Reserved = 0
	}
	key := s.key(n)
	row := s.sums[key]
	if row == nil {
		row = &sum{UsageRow: key}
		s.sums[key] = row
	}
	if row.hours == 0 || row.last != n.Start {
		row.hours, row.last = row.hours+1, n.Start
	}
	u := Use{n.RAMPeak, n.CPUMHz / Hour, n.Reserved}
	cloudlets, ram := u.Cloudlets()
	row.NodeHours++
	row.CloudletHours += cloudlets
	if ram {
		row.ByRAM += cloudlets
	} else {
		row.ByCPU += cloudlets
	}
	row.ReservedHours += n.Reserved
	row.BeyondHours += u.Beyond()
	if n.RAMPeakAt != 0 && (row.PeakNode == 0 || n.RAMPeak > row.RAMPeak) {
		row.RAMPeak, row.RAMPeakAt, row.PeakNode = n.RAMPeak, time.Unix(n.RAMPeakAt, 0).UTC(), n.CTID
	}
	row.cpuMicros, row.cpuMHz = row.cpuMicros+n.CPUMicros, row.cpuMHz+float64(n.CPUMHz)
	row.diskSeconds += n.DiskSeconds
	row.Read, row.Written, row.NetIn, row.NetOut = row.Read+n.Read, row.Written+n.Written, row.NetIn+n.NetIn, row.NetOut+n.NetOut
}

// key is the row that a node's hour belongs to.
func (s *Sum) key(n Row) operator.UsageRow {
	start := time.Unix(n.Start, 0).UTC()
	switch s.span {
	case operator.SpanDay:
		start = start.Truncate(24 * time.Hour)
	case operator.SpanMonth:
		start = time.Date(start.Year(), start.Month(), 1, 0, 0, 0, 0, time.UTC)
	case operator.SpanAll:
		start = time.Unix(s.from, 0).UTC()
	}
	key := operator.UsageRow{Start: start}
	switch s.by {
	case operator.ByAccount:
		key.Account = n.Account
	case operator.ByEnvironment:
		key.Account, key.Environment = n.Account, n.Env
	case operator.ByNode:
		key.Account, key.Environment, key.Node = n.Account, n.Env, n.CTID
	case operator.ByHost:
		key.Host = s.named(n.Host)
	}
	return key
}

// Rows are the sums, by time, then account, environment, node and host.
func (s *Sum) Rows() []operator.UsageRow {
	s.close()
	out := make([]operator.UsageRow, 0, len(s.sums))
	for _, r := range s.sums {
		const second = float64(time.Second / time.Microsecond)
		r.CPUSeconds = float64(r.cpuMicros) / second
		r.CPUMHz = r.cpuMHz / second / float64(Hour) / float64(r.hours)
		r.DiskGiBHours = r.diskSeconds / float64(Hour) / (1 << 30)
		out = append(out, r.UsageRow)
	}
	slices.SortFunc(out, func(a, b operator.UsageRow) int {
		return cmp.Or(a.Start.Compare(b.Start), cmp.Compare(a.Account, b.Account), cmp.Compare(a.Environment, b.Environment),
			cmp.Compare(a.Node, b.Node), cmp.Compare(a.Host, b.Host))
	})
	return out
}
