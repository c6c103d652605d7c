package hours

import (
	"fmt"
	"testing"
	"time"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/operator"
)

func sumOf(span operator.Span, by operator.Whole, rows ...Row) []operator.UsageRow {
	s := NewSum(ten, span, by, func(id wire.HostID) string { return "name of " + string(id) })
	for _, r := range rows {
		s.Add(r)
	}
	return s.Rows()
}

const mib = int64(1) << 20

func TestSum(t *testing.T) {
	row := func(hour int64, ctid wire.CTID, account wire.Account, peak int64) Row {
		return Row{Start: ten + hour*Hour, CTID: ctid, Account: account, Env: wire.EnvName("of-" + account), Host: "h-1", Seconds: 3600,
			RAMPeak: peak * mib, RAMPeakAt: ten + hour*Hour + int64(ctid), CPUMicros: 3600e6, CPUMHz: 3600e6 * 2000, Reserved: 2,
			DiskSeconds: 3600 << 30, NetIn: 7}
	}
	rows := []Row{row(0, 101, "alice", 100), row(0, 102, "alice", 1000), row(0, 103, "bob", 10), row(1, 101, "alice", 200)}
	hours := sumOf(operator.SpanHour, operator.ByNode, rows...)
	if len(hours) != 4 || hours[0].Node != 101 || hours[0].CloudletHours != 5 || hours[0].ByCPU != 5 || hours[0].CPUMHz != 2000 ||
		hours[0].BeyondHours != 3 || hours[1].Node != 102 || hours[1].ByRAM != 8 || hours[2].Account != "bob" ||
		hours[3].Start.Unix() != ten+Hour || hours[1].RAMPeakAt.Unix() != ten+102 || hours[1].DiskGiBHours != 1 {
		t.Errorf("by node and hour: %+v", hours)
	}
	all := sumOf(operator.SpanAll, operator.ByAccount, rows...)
	if len(all) != 2 {
		t.Fatalf("by account: %+v", all)
	}
	want := operator.UsageRow{Start: time.Unix(ten, 0).UTC(), Account: "alice", NodeHours: 3, CloudletHours: 18, ByRAM: 8, ByCPU: 10,
		ReservedHours: 6, BeyondHours: 12, RAMPeak: 1000 * mib, RAMPeakAt: time.Unix(ten+102, 0).UTC(), PeakNode: 102,
		CPUSeconds: 3 * 3600, CPUMHz: 3000, DiskGiBHours: 3, NetIn: 21}
	if all[0] != want {
		t.Errorf("got  %+v\nwant %+v", all[0], want)
	}
	hosts := sumOf(operator.SpanAll, operator.ByHost, rows...)
	if len(hosts) != 1 || hosts[0].Host != "name of h-1" || hosts[0].CloudletHours != 23 || hosts[0].Account != "" {
		t.Errorf("by host: %+v", hosts)
	}
	if e := sumOf(operator.SpanAll, operator.ByEnvironment, rows...); len(e) != 2 || e[0].Environment != "of-alice" {
		t.Errorf("by environment: %+v", e)
	}
}

// TestMovedSum: a node that went to another host pays an hour once, by the higher peak and both hosts' CPU time; while it moved it had its
// data on both.
func TestMovedSum(t *testing.T) {
	a := Row{Start: ten, CTID: 101, Account: "alice", Env: "shop", Host: "h-1", Seconds: 1900, RAMPeak: 100 * mib, RAMPeakAt: ten + 5,
		CPUMicros: 2e9, CPUMHz: 2e9 * 1000, Reserved: 1, DiskSeconds: 1900 * 100}
	b := a
	b.Host, b.Seconds, b.RAMPeak, b.RAMPeakAt, b.CPUMHz, b.DiskSeconds = "h-2", 1900, 300*mib, ten+9, 2e9*2000, 1900*100
	one := sumOf(operator.SpanHour, operator.ByNode, a, b)
	if len(one) != 1 || one[0].NodeHours != 1 || one[0].CloudletHours != 5 || one[0].ByCPU != 5 || one[0].RAMPeak != 300*mib ||
		one[0].ReservedHours != 1 || one[0].DiskGiBHours*(1<<30) != 100 {
		t.Errorf("%+v", one)
	}
	if two := sumOf(operator.SpanHour, operator.ByHost, a, b); len(two) != 2 || two[0].CloudletHours != 2 || two[1].CloudletHours != 3 {
		t.Errorf("by host: %+v", two)
	}
}

// TestDiskAlone: one that neither ran nor had memory pays nothing that is reserved for it.
func TestDiskAlone(t *testing.T) {
	r := Row{Start: ten, CTID: 101, Account: "alice", Env: "shop", Seconds: 3600, Reserved: 4, DiskSeconds: 3600 << 30}
	for name, at := range map[string]int64{"stopped": 0, "frozen": ten + 5} {
		r.RAMPeakAt = at
		if got := sumOf(operator.SpanHour, operator.ByNode, r); len(got) != 1 || got[0].CloudletHours != 0 || got[0].ReservedHours != 0 ||
			got[0].DiskGiBHours != 1 || got[0].RAMPeakAt.IsZero() != (at == 0) {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

func TestSpans(t *testing.T) {
	at := time.Date(2026, 3, 31, 23, 0, 0, 0, time.UTC).Unix()
	for span, want := range map[operator.Span]string{operator.SpanHour: "[2026-03-31T23 2026-04-01T00]",
		operator.SpanDay: "[2026-03-31T00 2026-04-01T00]", operator.SpanMonth: "[2026-03-01T00 2026-04-01T00]"} {
		var got []string
		for _, r := range sumOf(span, operator.ByAccount, Row{Start: at, CTID: 1}, Row{Start: at + Hour, CTID: 1}) {
			got = append(got, r.Start.Format("2006-01-02T15"))
		}
		if fmt.Sprint(got) != want {
			t.Errorf("%s: %s, want %s", span, got, want)
		}
	}
}
