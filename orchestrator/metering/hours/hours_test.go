package hours

import (
	"math"
	"testing"

	"hardnode.dev/internal/wire/usage"
	"pgregory.net/rapid"
)

// ten is 10:00 of a day.
const ten = int64(1_700_000_000) / Hour * Hour

func record(end int64, seconds float64) usage.Record {
	return usage.Record{CTID: 101, Env: "shop", Account: "alice", End: end, Seconds: seconds, RAMMean: 100, RAMPeak: 400,
		RAMPeakAt: end - 5, CPUMicros: 1001, Read: 7, NetOut: 60, Disk: 9, Reserved: 2}
}

func TestSplit(t *testing.T) {
	for name, c := range map[string]struct {
		r    usage.Record
		want []Part
	}{
		"within an hour":    {record(ten+120, 60), []Part{{ten, record(ten+120, 60)}}},
		"ends with an hour": {record(ten+Hour, 60), []Part{{ten, record(ten+Hour, 60)}}},
		"of no length":      {record(ten+60, 0), []Part{{ten, record(ten+60, 0)}}},
	} {
		got := Split(c.r)
		if len(got) != len(c.want) {
			t.Fatalf("%s: %+v", name, got)
		}
		for i := range got {
			if got[i] != c.want[i] {
				t.Errorf("%s: got  %+v\nwant %+v", name, got[i], c.want[i])
			}
		}
	}
	r := record(ten+30, 60) // half before ten, half after it
	r.RAMPeakAt = ten - 10
	got := Split(r)
	if len(got) != 2 || got[0].Start != ten-Hour || got[0].End != ten || got[0].Seconds != 30 || got[0].CPUMicros != 500 ||
		got[0].RAMPeak != 400 || got[0].RAMPeakAt != ten-10 || got[0].Disk != 9 {
		t.Fatalf("before ten: %+v", got)
	}
	if b := got[1]; b.Start != ten || b.End != ten+30 || b.Seconds != 30 || b.CPUMicros != 501 || b.Read != 4 || b.RAMPeak != 100 ||
		b.RAMPeakAt != ten+30 || b.Reserved != 2 {
		t.Errorf("after ten: %+v", b)
	}
	r.RAMPeakAt = ten // the sample that ended with the stroke of the hour
	if got := Split(r); got[0].RAMPeak != 400 || got[1].RAMPeak != 100 {
		t.Errorf("%+v", got)
	}
	stopped := usage.Record{CTID: 101, Env: "shop", Account: "alice", End: ten + 30, Seconds: 60, Disk: 9}
	if got := Split(stopped); len(got) != 2 || got[0].RAMPeakAt != 0 || got[1].RAMPeakAt != 0 || got[1].Disk != 9 {
		t.Errorf("one that does not run: %+v", got)
	}
}

// TestNothingIsMadeOrLost: the parts of any record are the record, each in its hour, one after the other; the peak is in one of them.
func TestNothingIsMadeOrLost(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := record(ten+rapid.Int64Range(0, 2*Hour).Draw(t, "end"), rapid.Float64Range(0, 5*float64(Hour)).Draw(t, "seconds"))
		r.CPUMicros = rapid.Int64Range(0, 1<<40).Draw(t, "cpu")
		r.NetIn = rapid.Int64Range(0, 1<<40).Draw(t, "in")
		r.RAMPeakAt = r.End - rapid.Int64Range(-Hour, 6*Hour).Draw(t, "before")
		if err := Check(r); err != nil {
			t.Fatal(err)
		}
		parts := Split(r)
		sum, peaks := usage.Record{}, 0
		for i, p := range parts {
			if i > 0 && p.Start != parts[i-1].Start+Hour {
				t.Fatalf("hours are left out: %+v", parts)
			}
			if p.Start%Hour != 0 || p.End < p.Start || p.End > p.Start+Hour || p.Seconds > float64(Hour)+1e-6 || p.Seconds < 0 {
				t.Fatalf("part %d: %+v", i, p)
			}
			if p.RAMPeak == r.RAMPeak {
				peaks++
			}
			sum = sum.Add(p.Record)
		}
		if sum.CPUMicros != r.CPUMicros || sum.NetIn != r.NetIn || sum.Read != r.Read || math.Abs(sum.Seconds-r.Seconds) > 1e-3 ||
			peaks != 1 {
			t.Fatalf("%+v\nis split into %+v", r, parts)
		}
	})
}

// TestRest: whichever minutes of an hour were read one by one, these and the rest are the hour.
func TestRest(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		read := rapid.IntRange(0, 60).Draw(t, "read")
		var counted, hour usage.Record
		for i := range 60 {
			r := record(ten+int64(60*(i+1)), 60)
			r.CPUMicros = rapid.Int64Range(0, 1e9).Draw(t, "cpu")
			r.RAMMean = rapid.Int64Range(0, 1000).Draw(t, "ram")
			r.RAMPeak = r.RAMMean + rapid.Int64Range(0, 1000).Draw(t, "more")
			hour = hour.Add(r)
			if i < read {
				counted = counted.Add(r)
			}
		}
		rest, some := Rest(hour, counted)
		if some != (read < 60) {
			t.Fatalf("of %d minutes that were read there is a rest: %v", read, some)
		}
		if !some {
			return
		}
		if counted.CPUMicros+rest.CPUMicros != hour.CPUMicros || math.Abs(counted.Seconds+rest.Seconds-hour.Seconds) > 1e-6 {
			t.Fatalf("%+v\nand %+v\nare not %+v", counted, rest, hour)
		}
		if got := max(counted.RAMPeak, rest.RAMPeak); got != hour.RAMPeak {
			t.Fatalf("the peak is %d, and %d in the hour", got, hour.RAMPeak)
		}
	})
	counted := record(ten+600, 600)
	hour := record(ten+Hour, float64(Hour))
	hour.RAMMean, hour.RAMPeakAt = 250, counted.RAMPeakAt
	if rest, _ := Rest(hour, counted); rest.RAMPeak != 280 || rest.RAMMean != 280 || rest.RAMPeakAt != ten+Hour {
		t.Errorf("the peak was counted already: %+v", rest)
	}
}

func TestCloudlets(t *testing.T) {
	const mib, mhz = int64(1) << 20, int64(1e6)
	for _, c := range []struct {
		use       Use
		n, beyond int64
		ram       bool
	}{
		{Use{}, 0, 0, true},
		{Use{RAMPeak: 1}, 1, 1, true},
		{Use{RAMPeak: 128 * mib, CPUMHz: 400 * mhz}, 1, 1, true},
		{Use{RAMPeak: 128*mib + 1}, 2, 2, true},
		{Use{RAMPeak: 128 * mib, CPUMHz: 400*mhz + 1}, 2, 2, false},
		{Use{RAMPeak: 1024 * mib, CPUMHz: 2400 * mhz, Reserved: 3}, 8, 5, true}, // the larger one, never the sum
		{Use{RAMPeak: 100 * mib, CPUMHz: 2400 * mhz, Reserved: 8}, 6, 0, false},
	} {
		if n, ram := c.use.Cloudlets(); n != c.n || ram != c.ram || c.use.Beyond() != c.beyond {
			t.Errorf("%+v: %d, %v, beyond %d", c.use, n, ram, c.use.Beyond())
		}
	}
}

func TestCheck(t *testing.T) {
	if err := Check(record(ten, 60)); err != nil {
		t.Error(err)
	}
	for name, change := range map[string]func(*usage.Record){
		"years":    func(r *usage.Record) { r.Seconds = 1e9 },
		"no time":  func(r *usage.Record) { r.Seconds = math.NaN() },
		"backward": func(r *usage.Record) { r.Seconds = -1 },
		"cpu":      func(r *usage.Record) { r.CPUMicros = -1 },
		"reserved": func(r *usage.Record) { r.Reserved = -1 },
		"disk":     func(r *usage.Record) { r.Disk = -1 },
		"whose":    func(r *usage.Record) { r.Account = "" },
		"overflow": func(r *usage.Record) { r.NetOut = math.MaxInt64 },
		"what":     func(r *usage.Record) { r.CTID = 0 },
		"when":     func(r *usage.Record) { r.End = 0 },
		"ages":     func(r *usage.Record) { r.End = math.MaxInt64 },
	} {
		r := record(ten, 60)
		if change(&r); Check(r) == nil {
			t.Errorf("%s: %+v", name, r)
		}
	}
}
