package pull

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/metering"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/internal/wire/usage"
	"hardnode.dev/orchestrator/metering/ledger"
)

// ten is the begin of an hour.
const ten = int64(1_700_000_000) / 3600 * 3600

// counter is a host as its meter answers: it keeps a day of minutes in files of an hour, and 35 days of hours.
type counter struct {
	book           string
	minutes, hours [][]usage.Record // by revision, from 1 on
	end            int64
	used           int64 // µs of CPU in all
	gone           wire.Revision
	goneHours      wire.Revision
	most           int // records of one answer
}

func newCounter(book string) *counter { return &counter{book: book, end: ten - 600, most: 3000} }

// minute counts a minute of containers of alice.
func (c *counter) minute(list ...usage.Record) {
	c.end += 60
	revision := wire.Revision(len(c.minutes) + 1)
	for i := range list {
		list[i].Revision, list[i].End = revision, c.end
		if list[i].Seconds == 0 {
			list[i].Seconds = 60
		}
		list[i].RAMPeakAt = c.end - 5
		list[i].Env = "shop"
		if list[i].Account == "" {
			list[i].Account = "alice"
		}
		c.used += list[i].CPUMicros
	}
	c.minutes = append(c.minutes, list)
	if len(c.minutes)%usage.PerHour != 0 {
		return
	}
	hour := map[string]usage.Record{}
	for _, m := range c.minutes[len(c.minutes)-usage.PerHour:] {
		for _, r := range m {
			key := fmt.Sprint(r.CTID, r.Account)
			hour[key] = hour[key].Add(r)
		}
	}
	c.hours = append(c.hours, nil)
	for _, r := range hour {
		r.Revision = wire.Revision(len(c.hours))
		c.hours[len(c.hours)-1] = append(c.hours[len(c.hours)-1], r)
	}
	if full := wire.Revision(len(c.minutes)) - 24*usage.PerHour; full > c.gone {
		c.gone = full
	}
}

func (c *counter) answer(a usage.Ask) usage.Answer {
	list, gone := c.minutes, c.gone
	if a.Step == usage.Hour {
		list, gone = c.hours, c.goneHours
	}
	out := usage.Answer{Book: c.book, Next: a.Since, Gone: gone, MHz: 1000}
	for i := max(a.Since, gone); i < wire.Revision(len(list)); i++ {
		if len(out.Records) >= c.most {
			out.More = true
			break
		}
		out.Records, out.Next = append(out.Records, list[i]...), i+1
	}
	return out
}

// cluster is a source of counters.
type cluster struct {
	hosts map[wire.HostID]*counter
	mu    sync.Mutex // of fails
	fails func(wire.HostID) error
	down  bool
}

func (c *cluster) Hosts(context.Context) (out []metering.Host, err error) {
	if c.down {
		return nil, errors.New("the orchestrator is off")
	}
	for id := range c.hosts {
		out = append(out, metering.Host{ID: id, Name: "name-" + string(id)})
	}
	return out, nil
}

func (c *cluster) Usage(_ context.Context, id wire.HostID, a usage.Ask) (usage.Answer, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.fails != nil {
		if err := c.fails(id); err != nil {
			return usage.Answer{}, err
		}
	}
	return c.hosts[id].answer(a), nil
}

// desk is a puller on a ledger of its own.
type desk struct {
	*Puller
	log  bytes.Buffer
	now  time.Time
	path string
}

func newDesk(t testing.TB, c *cluster, path string) *desk {
	l, err := ledger.Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	d := &desk{now: time.Unix(ten, 0), path: path}
	d.Puller = &Puller{Source: c, Ledger: l, Every: time.Minute, Now: func() time.Time { return d.now },
		Log: slog.New(slog.NewTextHandler(&d.log, nil))}
	return d
}

func (d *desk) use(t testing.TB, q metering.Question) operator.Usage {
	t.Helper()
	q.From, q.To = ten-40*24*3600, ten+60*24*3600
	q.Step = max(q.Step, "all")
	out, err := d.Ledger.Use(t.Context(), q, d.now)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// cpu is the CPU time that was counted, in µs.
func (d *desk) cpu(t testing.TB) (n int64) {
	for _, r := range d.use(t, metering.Question{By: operator.ByAccount}).Items {
		n += int64(r.CPUSeconds*1e6 + 0.5)
	}
	return n
}

// TestNothingIsLostOrTwice: hosts count, answer or don't, and are read after minutes, hours or days; metering and the orchestrator end in
// the middle. What was counted in the end is what was used, and the peak is the highest sample.
func TestNothingIsLostOrTwice(t *testing.T) {
	seed := time.Now().UnixNano()
	rnd := rand.New(rand.NewSource(seed))
	one := func(path string) {
		c := &cluster{hosts: map[wire.HostID]*counter{"h-1": newCounter("aaaaaaaaaaaaaaaa"), "h-2": newCounter("bbbbbbbbbbbbbbbb")}}
		d := newDesk(t, c, path)
		defer func() { d.Ledger.Close() }()
		accounts := []wire.Account{"alice", "bob"}
		peak := int64(0)
		most := []int{100, 3000}[rnd.Intn(2)]
		for step := range 1 + rnd.Intn(5) {
			minutes := []int{1, 7, 59, 60, 61, 130, 1530}[rnd.Intn(7)]
			for i := range minutes {
				for id, h := range c.hosts {
					r := usage.Record{CTID: 101, CPUMicros: int64(step*i*7919) % 59_000_000, Account: accounts[step%2]}
					r.RAMMean = int64(step*i*104729) % (1 << 30)
					r.RAMPeak = r.RAMMean + 1
					peak = max(peak, r.RAMPeak)
					other := usage.Record{CTID: 200, CPUMicros: 5}
					if id == "h-2" {
						other.CTID = 300
					}
					h.minute(r, other)
					h.most = most
				}
			}
			answers := rnd.Intn(8)
			c.fails = func(wire.HostID) error {
				if answers--; answers == 0 {
					return errors.New("cut off")
				}
				return nil
			}
			c.down = rnd.Intn(5) == 0
			d.now = d.now.Add(time.Duration(minutes) * time.Minute)
			if err := d.Round(t.Context()); (err != nil) != c.down {
				t.Fatal(seed, err)
			}
			if rnd.Intn(2) == 0 {
				d.Ledger.Close()
				d = newDesk(t, c, path)
			}
		}
		c.fails, c.down = nil, false
		for range 2 {
			if err := d.Round(t.Context()); err != nil {
				t.Fatal(seed, err)
			}
		}
		if got, want := d.cpu(t), c.hosts["h-1"].used+c.hosts["h-2"].used; got != want {
			t.Fatalf("seed %d: %d µs were counted, %d were used\n%s", seed, got, want, &d.log)
		}
		highest := int64(0)
		for _, r := range d.use(t, metering.Question{By: operator.ByNode}).Items {
			highest = max(highest, r.RAMPeak)
		}
		if highest != peak {
			t.Fatalf("seed %d: the peak is %d, and was %d", seed, highest, peak)
		}
	}
	dir := t.TempDir()
	for i := range 12 {
		one(filepath.Join(dir, fmt.Sprint(i)))
	}
}

// TestAway: an orchestrator that is off for two days loses no hour, and what the host has no more is said.
func TestAway(t *testing.T) {
	c := &cluster{hosts: map[wire.HostID]*counter{"h-1": newCounter("aaaaaaaaaaaaaaaa")}}
	h, d := c.hosts["h-1"], newDesk(t, c, filepath.Join(t.TempDir(), "usage.db"))
	count := func(minutes int) {
		for range minutes {
			h.minute(usage.Record{CTID: 101, CPUMicros: 1_000_000, RAMPeak: 1 << 20, RAMMean: 1 << 20, Disk: 1 << 30, Reserved: 1})
		}
	}
	round := func() operator.Usage {
		t.Helper()
		if err := d.Round(t.Context()); err != nil {
			t.Fatal(err)
		}
		return d.use(t, metering.Question{By: operator.ByEnvironment, Step: operator.SpanHour})
	}
	count(90)
	round()
	count(48 * 60)
	d.now = d.now.Add(48 * time.Hour)
	got := round()
	if len(got.Items) != 51 || d.cpu(t) != (90+48*60)*1e6 || len(got.Notes) != 0 || got.Until.Unix() != d.now.Unix()-60 {
		t.Fatalf("%d hours, %d s, notes %q, until %s", len(got.Items), d.cpu(t)/1e6, got.Notes, got.Until)
	}
	for i, r := range got.Items {
		want := 60.0 // a second a minute
		switch i {
		case 0:
			want = 10
		case len(got.Items) - 1:
			want = 20
		}
		if r.CPUSeconds != want || r.CloudletHours != 1 || r.ReservedHours != 1 {
			t.Errorf("hour %d: %+v", i, r)
		}
	}
	count(40 * 24 * 60)
	h.goneHours = wire.Revision(len(h.hours)) - 35*24
	if round(); !strings.Contains(d.log.String(), "minutes=7170") {
		t.Errorf("that five days are lost is not said: %s", &d.log)
	}
	if notes := d.use(t, metering.Question{By: operator.ByAccount}).Notes; len(notes) != 1 ||
		notes[0] != "host name-h-1: 7170 minutes are lost: it had not kept them when it was read again" {
		t.Errorf("%q", notes)
	}
	if got := d.cpu(t); got != h.used-7170*1e6 {
		t.Errorf("%d s were counted, of %d", got/1e6, h.used/1e6)
	}
}

// TestNewDisk: a host with another disk counts anew, and what it counted before stays; so it does when the former disk comes back.
func TestNewDisk(t *testing.T) {
	c := &cluster{hosts: map[wire.HostID]*counter{"h-1": newCounter("aaaaaaaaaaaaaaaa")}}
	d := newDesk(t, c, filepath.Join(t.TempDir(), "usage.db"))
	first, second := c.hosts["h-1"], newCounter("bbbbbbbbbbbbbbbb")
	for _, h := range []*counter{first, second, first} {
		c.hosts["h-1"] = h
		for range 10 {
			h.minute(usage.Record{CTID: 101, CPUMicros: 1_000_000})
		}
		for range 2 {
			d.now = d.now.Add(time.Minute)
			if err := d.Round(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
	if got := d.cpu(t); got != 30e6 {
		t.Errorf("%d µs were counted", got)
	}
}

// TestTrouble: a host that does not answer is said once, in the log and beside what is asked for, and keeps no other from being read; what
// a host says that can't be is not counted.
func TestTrouble(t *testing.T) {
	c := &cluster{hosts: map[wire.HostID]*counter{"h-1": newCounter("aaaaaaaaaaaaaaaa"), "h-2": newCounter("bbbbbbbbbbbbbbbb")}}
	d := newDesk(t, c, filepath.Join(t.TempDir(), "usage.db"))
	c.fails = func(id wire.HostID) error {
		if id == "h-2" {
			return errors.New("no route")
		}
		return nil
	}
	c.hosts["h-1"].minute(usage.Record{CTID: 101, CPUMicros: 7}, usage.Record{CTID: 102, CPUMicros: -7},
		usage.Record{CTID: 103, CPUMicros: 1 << 62})
	for range 3 {
		d.now = d.now.Add(10 * time.Minute)
		if err := d.Round(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if n := strings.Count(d.log.String(), "a host is not read"); n != 1 || !strings.Contains(d.log.String(), "records=2") {
		t.Errorf("%d times: %s", n, &d.log)
	}
	if notes := d.use(t, metering.Question{By: operator.ByNode}).Notes; len(notes) != 1 ||
		notes[0] != "host name-h-2 was not read yet: no route" {
		t.Errorf("%q", notes)
	}
	if d.cpu(t) != 7 {
		t.Errorf("%d µs", d.cpu(t))
	}
	c.fails = nil
	c.hosts["h-2"].minute(usage.Record{CTID: 201, CPUMicros: 5})
	if err := d.Round(t.Context()); err != nil || d.cpu(t) != 12 {
		t.Errorf("%v, %d µs", err, d.cpu(t))
	}
	delete(c.hosts, "h-2") // it leaves the cluster: what it counted stays
	if err := d.Round(t.Context()); err != nil || d.cpu(t) != 12 || len(d.use(t, metering.Question{By: operator.ByNode}).Notes) != 0 {
		t.Errorf("%v, %d µs", err, d.cpu(t))
	}
	if got := d.use(t, metering.Question{By: operator.ByHost}).Items; len(got) != 2 || got[1].Host != "name-h-2" {
		t.Errorf("by host: %+v", got)
	}
	c.hosts["h-1"].book = ""
	if err := d.Round(t.Context()); err != nil || !strings.Contains(d.log.String(), "its records have no name") {
		t.Errorf("%v: %s", err, &d.log)
	}
}
