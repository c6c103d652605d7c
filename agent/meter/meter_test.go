package meter

import (
	"bytes"
	"fmt"
	"log/slog"
	"math/rand"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/usage"
)

// machine is a host with cgroups of plain files.
type machine struct {
	t           *testing.T
	cgroup, dir string
	log         *bytes.Buffer
}

func newMachine(t *testing.T) *machine {
	return &machine{t, t.TempDir(), filepath.Join(t.TempDir(), "usage"), &bytes.Buffer{}}
}

func (m *machine) meter() *Meter {
	return New(Options{Dir: m.dir, Cgroup: m.cgroup, Boot: "boot", Log: slog.New(slog.NewTextHandler(m.log, nil)),
		Disk: func() map[wire.CTID]int64 { return map[wire.CTID]int64{101: 7} }})
}

// start makes a container's cgroup anew.
func (m *machine) start(id int) {
	old := filepath.Join(m.cgroup, fmt.Sprint(id))
	gone := filepath.Join(m.t.TempDir(), "gone") // its inode stays in use: the next one has another
	os.Rename(old, gone)
	if err := os.Mkdir(old, 0o755); err != nil {
		m.t.Fatal(err)
	}
	m.put(id, "memory.peak", "0")
	m.uses(id, 1000, 0)
}

// stop takes a container's cgroup away.
func (m *machine) stop(id int) {
	if err := os.RemoveAll(filepath.Join(m.cgroup, fmt.Sprint(id))); err != nil {
		m.t.Fatal(err)
	}
}

func (m *machine) put(id int, file, text string) {
	if err := os.WriteFile(filepath.Join(m.cgroup, fmt.Sprint(id), file), []byte(text), 0o600); err != nil {
		m.t.Fatal(err)
	}
}

// uses sets memory in bytes, and the counters of CPU time and of io.
func (m *machine) uses(id int, memory, count int64) {
	m.put(id, "memory.current", fmt.Sprintln(memory))
	m.put(id, "cpu.stat", fmt.Sprintf("usage_usec %d\nuser_usec 3\n", count))
	m.put(id, "io.stat", fmt.Sprintf("254:0 rbytes=%d wbytes=%d rios=%d wios=%d dbytes=9 dios=9\n7:0 rbytes=1\n", 2*count, 3*count, count,
		count))
}

func (m *machine) answer(x *Meter, a usage.Ask) usage.Answer {
	m.t.Helper()
	out, err := x.Answer(m.t.Context(), a)
	if err != nil {
		m.t.Fatal(err)
	}
	return out
}

func minute(x *Meter, now time.Time) {
	for range perMinute {
		x.look(now)
	}
}

func TestRecords(t *testing.T) {
	m := newMachine(t)
	m.start(101)
	m.start(102)
	x := m.meter()
	now := time.Unix(1_000_000, 0)
	for i := range perMinute {
		m.uses(101, int64(1000*(i+1)), int64(100*i))
		x.look(now.Add(time.Duration(i) * every))
	}
	got := m.answer(x, usage.Ask{Step: usage.Minute, CTID: 101})
	if len(got.Records) != 1 || got.Next != 1 || len(got.Book) != 16 || got.More || got.Gone != 0 {
		t.Fatalf("answer %+v", got)
	}
	r := got.Records[0]
	if r.CPUMicros != 1100 || r.Read != 2201 || r.Written != 3300 || r.Reads != 1100 || r.MemoryPeak != 12000 || r.Disk != 7 ||
		r.End != now.Unix()+55 || r.Seconds < 5 || r.MemoryMean < 1000 || r.MemoryMean > 12000 {
		t.Errorf("record %+v", r)
	}
	if all := m.answer(x, usage.Ask{Step: usage.Minute}); len(all.Records) != 2 {
		t.Errorf("of all: %+v", all)
	}
	if late := m.answer(x, usage.Ask{Step: usage.Minute, From: now.Unix() + 56}); len(late.Records) != 0 || late.Next != 1 {
		t.Errorf("of later ones: %+v", late)
	}
	samples := m.answer(x, usage.Ask{Step: usage.Sample, CTID: 101})
	if n := len(samples.Records); n != perMinute || samples.Records[n-1].Revision != samples.Next || samples.Records[3].CPUMicros != 100 {
		t.Errorf("samples %+v", samples)
	}
	if again := m.answer(x, usage.Ask{Step: usage.Sample, Since: samples.Next}); len(again.Records) != 0 {
		t.Errorf("samples that were read already: %+v", again)
	}
	for i := range perHour {
		m.uses(101, 1000, int64(1100+100*(i+1)))
		minute(x, now)
	}
	hours := m.answer(x, usage.Ask{Step: usage.Hour, CTID: 101})
	if len(hours.Records) != 1 || hours.Records[0].CPUMicros != 1100+100*(perHour-1) || hours.Records[0].MemoryPeak != 12000 {
		t.Errorf("hours %+v", hours)
	}
	if _, err := x.Answer(t.Context(), usage.Ask{Step: "day"}); err == nil {
		t.Error("an unknown step was answered")
	}
}

// TestQuiet: of a container that uses no processor time, the rest is read for each minute's record, and nothing of it is lost; one that
// uses some is read as a whole each time.
func TestQuiet(t *testing.T) {
	m := newMachine(t)
	m.start(101)
	x := m.meter()
	now := time.Unix(1_000_000, 0)
	x.look(now)
	m.put(101, "memory.current", "7000\n") // the kernel has written back, and given up
	m.put(101, "io.stat", "254:0 rbytes=0 wbytes=4096 rios=0 wios=1\n")
	for range perMinute - 2 {
		x.look(now)
	}
	if s := m.answer(x, usage.Ask{Step: usage.Sample}).Records; s[len(s)-1].MemoryMean != 1000 || s[len(s)-1].Written != 0 {
		t.Errorf("an idle one was read: %+v", s[len(s)-1])
	}
	x.look(now)
	if got := m.answer(x, usage.Ask{Step: usage.Minute}).Records; len(got) != 1 || got[0].Written != 4096 || got[0].MemoryPeak != 7000 {
		t.Errorf("the minute: %+v", got)
	}
	m.uses(101, 9000, 3)
	x.look(now)
	if s := m.answer(x, usage.Ask{Step: usage.Sample}).Records; s[len(s)-1].MemoryMean != 9000 || s[len(s)-1].CPUMicros != 3 {
		t.Errorf("one that works: %+v", s[len(s)-1])
	}
}

// TestAllQuiet: while all containers together use no processor time, none of them is read. One that has come or gone is seen all the same.
func TestAllQuiet(t *testing.T) {
	m := newMachine(t)
	all := func(usec int) {
		if err := os.WriteFile(filepath.Join(m.cgroup, "cpu.stat"), fmt.Appendf(nil, "usage_usec %d\n", usec), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	x, now := m.meter(), time.Unix(1_000_000, 0)
	last := func() map[wire.CTID]int64 {
		x.look(now)
		out := map[wire.CTID]int64{}
		for _, s := range m.answer(x, usage.Ask{Step: usage.Sample}).Records {
			if s.Revision == x.mu.sample {
				out[s.CTID] = s.CPUMicros
			}
		}
		return out
	}
	m.start(101)
	m.start(102)
	all(10)
	last()
	m.uses(101, 1000, 7)
	if got := last(); got[101] != 0 || len(got) != 2 {
		t.Errorf("they were read, though all together used nothing: %v", got)
	}
	m.stop(102)
	m.start(103)
	got := last()
	if _, there := got[103]; len(got) != 2 || !there {
		t.Errorf("one has gone and one has come: %v", got)
	}
	all(17)
	if got := last(); got[101] != 7 || len(got) != 2 {
		t.Errorf("all together used the processor: %v", got)
	}
}

// TestCounted: what counts of memory is what the kernel gives nobody else: page cache is left out, what is swapped out is in, once. The
// peak is that of the samples, and the record says which.
func TestCounted(t *testing.T) {
	m := newMachine(t)
	m.start(101)
	x := m.meter()
	now := time.Unix(1_000_000, 0)
	for i, stat := range []string{"anon 100\nfile 5000\nkernel 20\nkernel_stack 7\nshmem 3\nswapcached 0\n",
		"anon 300\nfile 9000\nkernel 20\nshmem 40\nswapcached 15\nactive_anon 999\n", "anon 50\nfile 1\nkernel 20\n"} {
		m.uses(101, 9000, int64(i+1))
		m.put(101, "memory.stat", stat)
		if i == 1 {
			m.put(101, "memory.swap.current", "1000\n")
		}
		x.look(now.Add(time.Duration(i) * every))
	}
	got := m.answer(x, usage.Ask{Step: usage.Sample}).Records
	if len(got) != 3 || got[0].RAMPeak != 123 || got[1].RAMPeak != 300+40+20+985 || got[2].RAMPeak != 1070 || got[2].MemoryMean != 9000 {
		t.Fatalf("samples %+v", got)
	}
	for range perMinute - 3 {
		x.look(now.Add(time.Minute))
	}
	r := m.answer(x, usage.Ask{Step: usage.Minute}).Records[0]
	if r.RAMPeak != 1345 || r.RAMPeakAt != now.Unix()+5 || r.RAMMean < 123 || r.RAMMean > 1345 {
		t.Errorf("the minute is %+v", r)
	}
}

// TestAsleep: one that is frozen has no memory from the next minute's record on, until it uses the processor again.
func TestAsleep(t *testing.T) {
	m := newMachine(t)
	m.start(101)
	m.put(101, "memory.stat", "anon 4096\n")
	x, now := m.meter(), time.Unix(1_000_000, 0)
	x.look(now)
	m.put(101, "cgroup.events", "populated 1\nfrozen 1\n")
	minute(x, now)
	minute(x, now)
	got := m.answer(x, usage.Ask{Step: usage.Minute}).Records
	if len(got) != 2 || got[0].RAMPeak != 4096 || got[1].RAMPeak != 0 || got[1].RAMPeakAt == 0 || got[1].Disk != 7 || got[1].Seconds <= 0 {
		t.Errorf("asleep: %+v", got)
	}
	m.put(101, "cgroup.events", "populated 1\nfrozen 0\n")
	m.uses(101, 1000, 5)
	x.look(now)
	if s := m.answer(x, usage.Ask{Step: usage.Sample}).Records; s[len(s)-1].RAMPeak != 4096 {
		t.Errorf("awake: %+v", s[len(s)-1])
	}
}

// TestStopped: one that does not run has disk, and nothing else; it is counted from the minute's record on, and so it is by the next agent.
func TestStopped(t *testing.T) {
	m := newMachine(t)
	x, now := m.meter(), time.Unix(1_000_000, 0)
	minute(x, now)
	x = m.meter()
	minute(x, now)
	m.start(101)
	m.uses(101, 1000, 50)
	minute(x, now)
	got := m.answer(x, usage.Ask{Step: usage.Minute}).Records
	if len(got) != 3 {
		t.Fatalf("%+v", got)
	}
	for _, r := range got[:2] {
		if want := (usage.Record{CTID: 101, Disk: 7, Revision: r.Revision, End: r.End, Seconds: r.Seconds}); r != want || r.Seconds <= 0 {
			t.Errorf("it does not run: %+v", r)
		}
	}
	if r := got[2]; r.CPUMicros != 50 || r.MemoryMean < 990 || r.RAMPeakAt == 0 {
		t.Errorf("it runs: %+v", r)
	}
}

// TestWhose: each record is of whom its container was when it was written. An hour in which it went to another account has two of it. One
// that is being removed stays whose it was, also for the next agent.
func TestWhose(t *testing.T) {
	m := newMachine(t)
	m.start(101)
	of := map[wire.CTID]Whose{101: {"shop", "alice", 4}}
	meter := func() *Meter {
		x := m.meter()
		x.o.Whose, x.o.MHz = func() map[wire.CTID]Whose { return of }, func() int64 { return 2400 }
		return x
	}
	x, now := meter(), time.Unix(1_000_000, 0)
	for i := range perHour {
		switch i {
		case 20:
			of = map[wire.CTID]Whose{101: {"shop", "bob", 2}}
		case 40:
			of = nil
			x = meter()
		}
		m.uses(101, 1000, int64(i+1))
		minute(x, now)
	}
	hours := m.answer(x, usage.Ask{Step: usage.Hour})
	if len(hours.Records) != 2 || hours.MHz != 2400 {
		t.Fatalf("hours %+v", hours)
	}
	a, b := hours.Records[0], hours.Records[1]
	if a.Account != "alice" || a.Env != "shop" || a.Reserved != 4 || a.CPUMicros != 20 || b.Account != "bob" || b.Reserved != 2 ||
		b.CPUMicros != perHour-20 {
		t.Errorf("hours %+v", hours.Records)
	}
}

// TestNothingIsLostOrTwice: agents are killed, containers started again, clocks set, disks full and readers away, in any order.
func TestNothingIsLostOrTwice(t *testing.T) {
	seed := time.Now().UnixNano()
	rnd := rand.New(rand.NewSource(seed))
	m := newMachine(t)
	m.start(101)
	x := m.meter()
	now := time.Unix(1_700_000_000, 0)
	var used, count, read int64
	since := map[usage.Step]wire.Revision{}
	hours := int64(0)
	seen := map[string]bool{}
	blocked := ""
	pull := func() {
		for _, step := range []usage.Step{usage.Minute, usage.Hour} {
			a := m.answer(x, usage.Ask{Step: step, Since: since[step]})
			for _, r := range a.Records {
				key := fmt.Sprint(step, r.Revision, r.CTID)
				if seen[key] || r.Revision <= since[step] {
					t.Fatalf("seed %d: record %s came twice", seed, key)
				}
				seen[key] = true
				if step == usage.Minute {
					read += r.CPUMicros
				} else {
					hours += r.CPUMicros
				}
			}
			since[step] = a.Next
		}
	}
	unblock := func() {
		if blocked != "" {
			os.Remove(blocked)
			blocked = ""
		}
	}
	for range 300 {
		more := int64(rnd.Intn(50))
		count, used = count+more, used+more
		m.uses(101, int64(rnd.Intn(1<<20)), count)
		switch rnd.Intn(12) {
		case 0:
			x = m.meter() // kill -9
		case 1:
			now = now.Add(time.Duration(rnd.Intn(200)-100) * time.Hour)
		case 2:
			unblock()
			minute(x, now)
			m.start(101)
			count = 0
		case 3:
			if blocked == "" && x.mu.minutes.last > 0 && (x.mu.minutes.last)%perHour == 0 { // the next file can't be made
				blocked = filepath.Join(m.dir, "minute", fmt.Sprintf("%012d", x.mu.minutes.last+1))
				os.Mkdir(blocked, 0o700)
			}
		case 4:
			unblock()
		case 5, 6:
			x.look(now)
			pull()
		default:
			minute(x, now)
		}
	}
	unblock()
	minute(x, now)
	pull()
	if read != used {
		t.Errorf("seed %d: %d µs were used and %d read", seed, used, read)
	}
	if hours > read || x.mu.hours.last != x.mu.minutes.last/perHour {
		t.Errorf("seed %d: hours sum up to %d of %d; %d hours of %d minutes", seed, hours, read, x.mu.hours.last, x.mu.minutes.last)
	}
}

// TestMoved: a container that goes from one host to another and back is counted by each for the time that it runs there; who reads each
// host by its own revisions, whenever it does, has all that it used, once.
func TestMoved(t *testing.T) {
	hosts := []*machine{newMachine(t), newMachine(t)}
	meters := []*Meter{hosts[0].meter(), hosts[1].meter()}
	now := time.Unix(1_700_000_000, 0)
	since := make([]wire.Revision, 2)
	books := map[string]bool{}
	var used, read int64
	pull := func(i int) {
		a := hosts[i].answer(meters[i], usage.Ask{Step: usage.Minute, Since: since[i], CTID: 101})
		for _, r := range a.Records {
			read += r.CPUMicros
		}
		since[i], books[a.Book] = a.Next, true
	}
	for move := range 3 {
		on := move % 2
		hosts[on].start(101)
		for i := range 3*perMinute + 4 {
			hosts[on].uses(101, 1000, int64(10*(i+1)))
			for _, m := range meters {
				m.look(now)
			}
			if used += 10; i == perMinute && move == 1 {
				pull(on) // the other one is away
			}
		}
		hosts[on].stop(101)
		if move == 0 { // its agent ends after it has left
			minute(meters[0], now)
			meters[0] = hosts[0].meter()
		}
	}
	for i := range 2 * len(meters) {
		minute(meters[i%2], now)
		pull(i % 2)
	}
	if read != used || len(books) != 2 {
		t.Errorf("%d were read in %d books, %d were used", read, len(books), used)
	}
}

func TestDiskFull(t *testing.T) {
	m := newMachine(t)
	m.start(101)
	x := m.meter()
	x.look(time.Unix(1, 0))
	block := filepath.Join(m.dir, "minute", "000000000001")
	if err := os.Mkdir(block, 0o700); err != nil {
		t.Fatal(err)
	}
	m.uses(101, 1, 500)
	minute(x, time.Unix(60, 0))
	minute(x, time.Unix(120, 0))
	if n := strings.Count(m.log.String(), "use is counted and not written"); n != 1 {
		t.Errorf("it is said %d times that the disk is full: %s", n, m.log)
	}
	os.Remove(block)
	m.uses(101, 1, 900)
	x.look(time.Unix(180, 0))
	a := m.answer(x, usage.Ask{Step: usage.Minute})
	if len(a.Records) != 1 || a.Records[0].CPUMicros != 900 || a.Records[0].End != 180 {
		t.Errorf("after the disk was full: %+v", a)
	}
}

// TestHalfARecord: a power cut at any byte leaves whole records, and the next one follows them.
func TestHalfARecord(t *testing.T) {
	m := newMachine(t)
	m.start(101)
	x := m.meter()
	for i := range 3 {
		m.uses(101, 1, int64(100*(i+1)))
		minute(x, time.Unix(int64(60*i), 0))
	}
	path := filepath.Join(m.dir, "minute", "000000000001")
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for n := 0; n < len(whole); n += 5 {
		if err := os.WriteFile(path, whole[:n], 0o600); err != nil {
			t.Fatal(err)
		}
		y := m.meter()
		m.uses(101, 1, 400)
		y.look(time.Unix(300, 0))
		minute(y, time.Unix(300, 0))
		a := m.answer(y, usage.Ask{Step: usage.Minute})
		sum := int64(0)
		for i, r := range a.Records {
			if sum += r.CPUMicros; r.Revision != wire.Revision(i+1) {
				t.Fatalf("cut at %d: revisions %+v", n, a.Records)
			}
		}
		if sum != 400 {
			t.Fatalf("cut at %d: %d µs in %d records, want 400", n, sum, len(a.Records))
		}
	}
}

func TestShelfIsBounded(t *testing.T) {
	s := shelf{dir: t.TempDir(), per: 3, keep: 2}
	if err := s.open(); err != nil {
		t.Fatal(err)
	}
	for i := range 20 {
		if err := s.add(int64(i), []entry{{Record: usage.Record{CTID: 7}}, {Record: usage.Record{CTID: 71}}}); err != nil {
			t.Fatal(err)
		}
	}
	files, _ := os.ReadDir(s.dir)
	if len(files) != 2 || s.gone() != 15 || s.last != 20 {
		t.Errorf("%d files, %d are gone, the last is %d", len(files), s.gone(), s.last)
	}
	later := shelf{dir: s.dir, per: 3, keep: 2}
	if err := later.open(); err != nil || later.last != 20 || later.size != s.size || later.gone() != 15 {
		t.Errorf("opened again: %+v %v", later, err)
	}
	n := 0
	err := later.each(17, func(h header, body []byte) bool {
		if n += len(entries(body, 7)); h.revision <= 17 {
			t.Errorf("revision %d was read already", h.revision)
		}
		return true
	})
	if n != 3 || err != nil {
		t.Errorf("%d records of container 7 since 17: %v", n, err)
	}
}

func TestTraffic(t *testing.T) {
	path := filepath.Join(t.TempDir(), "dev")
	text := "Inter-|   Receive\n face |bytes\n    lo: 1 2 3 4 5 6 7 8 9\n" +
		" hv101: 100 1 0 0 0 0 0 0 200 1 0 0 0 0 0 0\nhvx: 1 1 1 1 1 1 1 1 1\n"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := traffic(path); len(got) != 1 || got[101] != (moved{in: 200, out: 100}) {
		t.Errorf("%+v", got)
	}
	links := t.TempDir()
	statistics := filepath.Join(links, "hv101/statistics")
	if err := os.MkdirAll(statistics, 0o700); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"rx_bytes": "100\n", "tx_bytes": "200\n"} {
		if err := os.WriteFile(filepath.Join(statistics, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if in, out := carried(links, 101); in != 200 || out != 100 {
		t.Errorf("in %d, out %d", in, out)
	}
	if in, out := carried(links, 102); in != 0 || out != 0 {
		t.Errorf("without a link: in %d, out %d", in, out)
	}
}

// BenchmarkLook is one look at 300 containers, of which there are twelve a minute.
func BenchmarkLook(b *testing.B) {
	cgroups := b.TempDir()
	stat := "anon 4096\nfile 4096\nkernel 4096\n" // and what there is of the kernel's some fifty others
	for i := range 50 {
		stat += fmt.Sprintf("another_figure_%d 0\n", i)
	}
	for i := range 300 {
		dir := filepath.Join(cgroups, fmt.Sprint(1000+i))
		if err := os.Mkdir(dir, 0o755); err != nil {
			b.Fatal(err)
		}
		for file, text := range map[string]string{"memory.current": "4096\n", "memory.peak": "4096\n", "io.stat": "",
			"memory.stat": stat, "memory.swap.current": "0\n",
			"cpu.stat": "usage_usec 1\nuser_usec 1\nsystem_usec 0\nnr_periods 0\nnr_throttled 0\nthrottled_usec 0\n"} {
			if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o600); err != nil {
				b.Fatal(err)
			}
		}
	}
	m := New(Options{Dir: b.TempDir(), Cgroup: cgroups, Boot: "boot"})
	for b.Loop() {
		m.look(time.Unix(1, 0))
	}
	b.ReportMetric(100*b.Elapsed().Seconds()/float64(b.N)/every.Seconds(), "%ofCPU")
}
