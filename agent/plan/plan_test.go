package plan

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
)

var (
	now   = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	small = host.Limits{MemoryMax: 128 << 20}
)

const (
	imgA = wire.Digest("sha256:aa")
	imgB = wire.Digest("sha256:bb")
)

func want(id wire.CTID, gen int64, change ...func(*host.Container)) host.Container {
	c := host.Container{CTID: id, Env: "hello", Generation: gen, Run: true, Image: host.Image{Name: "nginx", Digest: imgA}, Limits: small}
	for _, f := range change {
		f(&c)
	}
	return c
}

func stopped(c *host.Container)  { c.Run = false }
func removed(c *host.Container)  { c.Remove = true }
func imageB(c *host.Container)   { c.Image.Digest = imgB }
func checked(c *host.Container)  { c.Check = &host.Check{Port: 80} }
func anew(c *host.Container)     { c.Boot = 2 }
func jelastic(c *host.Container) { c.Env = Jelastic }

func runs(id wire.CTID, gen int64) Seen {
	return Seen{CTID: id, Generation: gen, Running: true, Started: now.Add(-time.Hour)}
}
func has(s Seen, volumes ...string) Seen { s.Volumes = volumes; return s }
func drops(c host.Container, boot int64) host.Container {
	c.Boot, c.Dropped = boot, []string{"data", "old"}
	return c
}
func booted(s Seen) Seen  { s.Boot = 2; return s }
func drifted(s Seen) Seen { s.Drift = "memory.max is 5, wanted 6"; return s }
func short(s Seen, times int64, ago time.Duration, ended bool) Seen {
	s.Memory = Memory{Times: times, Last: "out of memory: process dd used 120 MiB of 128 MiB", At: now.Add(-ago), Ended: ended}
	return s
}

func troubled(s Seen) Seen { s.Trouble = "quota is not known"; return s }
func exited(id wire.CTID, gen int64, ago time.Duration, code int) Seen {
	return Seen{CTID: id, Generation: gen, Exited: now.Add(-ago), ExitCode: code}
}
func left(s Seen, how Left) Seen { s.Left = how; return s }
func booting(s Seen, since time.Duration) Seen {
	s.Booting, s.Started = true, now.Add(-since)
	return s
}
func kept(id wire.CTID, gen int64) Seen { return Seen{CTID: id, Generation: gen} }

func TestDecide(t *testing.T) {
	here := map[wire.Digest]Image{imgA: {Present: true}}
	tests := []struct {
		name    string
		work    []host.Container
		noWork  bool
		seen    []Seen
		images  map[wire.Digest]Image
		history map[wire.CTID]History
		health  map[wire.CTID]Health
		steps   string // "kind ctid: reason" joined by " | "
		status  string // "ctid state reason" joined by " | "
		settled bool
		wake    time.Duration
	}{
		{name: "nothing wanted, nothing here", settled: true},
		{name: "no assignment ever: touch nothing", noWork: true, seen: []Seen{runs(101, 1), kept(102, 1)},
			status: "101 running no assignment has been seen | 102 stopped no assignment has been seen"},
		{name: "start when the image is here", work: []host.Container{want(101, 1)}, images: here,
			steps: "start 101: wanted and not here", status: "101 waiting starting"},
		{name: "a full OS boots", work: []host.Container{want(101, 1)}, images: here, seen: []Seen{booting(runs(101, 1), time.Minute)},
			status: "101 starting its init has not said yet that it is ready", settled: true},
		{name: "a full OS does not come up", work: []host.Container{want(101, 1)}, images: here,
			seen:   []Seen{booting(runs(101, 1), time.Hour)},
			status: "101 failing its init has not said within 5m0s that it is ready: hnctl node console", settled: true},
		{name: "a full OS reboots: at once, whatever was before", work: []host.Container{want(101, 1)}, images: here,
			seen:    []Seen{left(exited(101, 1, 0, 129), LeftReboot)},
			history: map[wire.CTID]History{101: {Generation: 1, Short: 5}},
			steps:   "start 101: it rebooted", status: "101 waiting it reboots", settled: true},
		{name: "a full OS that was powered off from inside stays so", work: []host.Container{want(101, 1)}, images: here,
			seen:   []Seen{left(exited(101, 1, time.Hour, 130), LeftPowerOff)},
			status: "101 stopped it was powered off from inside: hnctl node restart 101 starts it", settled: true},
		{name: "powered off, and wanted stopped: so that it comes up when it is wanted again",
			work: []host.Container{want(101, 1, stopped)}, images: here,
			seen:  []Seen{left(exited(101, 1, time.Hour, 130), LeftPowerOff)},
			steps: "stop 101: work says stop", status: "101 stopping", settled: true},
		{name: "powered off, and another generation is wanted", work: []host.Container{want(101, 2)}, images: here,
			seen:  []Seen{left(exited(101, 1, time.Hour, 130), LeftPowerOff)},
			steps: "start 101: generation 2 wanted, 1 is here", status: "101 waiting replacing generation 1"},
		{name: "fetch first", work: []host.Container{want(101, 1)},
			steps: "fetch 101: image nginx is not here", status: "101 waiting fetching image nginx"},
		{name: "two containers, one fetch", work: []host.Container{want(101, 1), want(102, 1)},
			steps: "fetch 101: image nginx is not here", status: "101 waiting fetching image nginx | 102 waiting fetching image nginx"},
		{name: "fetch failed: wait for the back-off", work: []host.Container{want(101, 1)},
			images: map[wire.Digest]Image{imgA: {Err: "registry away", RetryAt: now.Add(5 * time.Second)}},
			status: "101 waiting registry away", wake: 5 * time.Second},
		{name: "fetch failed: try again", work: []host.Container{want(101, 1)},
			images: map[wire.Digest]Image{imgA: {Err: "registry away", RetryAt: now}},
			steps:  "fetch 101: fetch failed before: registry away", status: "101 waiting registry away"},
		{name: "image does not match its digest", work: []host.Container{want(101, 1)},
			images: map[wire.Digest]Image{imgA: {Err: "image is wrong", Wrong: true, RetryAt: now.Add(time.Minute)}},
			status: "101 broken image is wrong", settled: true, wake: time.Minute},
		{name: "running and right: leave alone", work: []host.Container{want(101, 1)}, seen: []Seen{runs(101, 1)}, images: here,
			status: "101 running", settled: true},
		{name: "running and right, image file gone: leave alone", work: []host.Container{want(101, 1)}, seen: []Seen{runs(101, 1)},
			status: "101 running", settled: true},
		{name: "resize live", work: []host.Container{want(101, 1)}, seen: []Seen{drifted(runs(101, 1))}, images: here,
			steps: "resize 101: memory.max is 5, wanted 6", status: "101 running"},
		{name: "resize failed a moment ago", work: []host.Container{want(101, 1)}, seen: []Seen{drifted(runs(101, 1))}, images: here,
			history: map[wire.CTID]History{101: {StopErr: "busy", FailedAt: now}}, wake: 500 * time.Millisecond,
			status: "101 running its limits are not the wanted ones: busy"},
		{name: "not all is seen of one: its status says so, and all goes on", work: []host.Container{want(101, 1), want(102, 1)},
			images: here,
			seen:   []Seen{troubled(runs(101, 1)), exited(102, 1, 0, 1)},
			steps:  "start 102: exited with code 1", status: "101 running quota is not known | 102 failing exited with code 1",
			settled: true},
		{name: "not all is seen of one that goes", seen: []Seen{troubled(kept(101, 1))}, steps: "remove 101: not in work revision 7",
			status: "101 stopped being removed: quota is not known"},
		{name: "a stop that failed says why", work: []host.Container{want(101, 1, stopped)}, seen: []Seen{runs(101, 1)},
			history: map[wire.CTID]History{101: {StopErr: "busy", FailedAt: now.Add(-time.Minute)}},
			steps:   "stop 101: work says stop (failed before: busy)", status: "101 stopping busy"},
		{name: "a volume that was dropped goes once nothing runs with it", work: []host.Container{drops(want(101, 1), 2)},
			seen: []Seen{has(booted(runs(101, 1)), "data", "srv")}, images: here,
			steps: "drop 101: dropped with their data: volumes data", status: "101 running", settled: true},
		{name: "it is gone", work: []host.Container{drops(want(101, 1), 2)}, seen: []Seen{has(booted(runs(101, 1)), "srv")}, images: here,
			status: "101 running", settled: true},
		{name: "what runs was started with it", work: []host.Container{drops(want(101, 1), 3)},
			seen: []Seen{has(booted(runs(101, 1)), "data")}, images: here,
			steps: "stop 101: start 3 wanted, 2 runs", status: "101 waiting it is started anew"},
		{name: "of one that is stopped it goes too", work: []host.Container{drops(want(101, 1, stopped), 2)},
			seen:  []Seen{has(kept(101, 1), "data")},
			steps: "drop 101: dropped with their data: volumes data", status: "101 stopped", settled: true},
		{name: "it could not be removed a moment ago", work: []host.Container{drops(want(101, 1), 2)},
			seen: []Seen{has(booted(runs(101, 1)), "data")}, images: here,
			history: map[wire.CTID]History{101: {StopErr: "busy", FailedAt: now}}, wake: 500 * time.Millisecond,
			status: "101 running", settled: true},
		{name: "stop", work: []host.Container{want(101, 1, stopped)}, seen: []Seen{runs(101, 1)},
			steps: "stop 101: work says stop", status: "101 stopping"},
		{name: "stopped and wanted stopped", work: []host.Container{want(101, 1, stopped)}, seen: []Seen{kept(101, 1)},
			status: "101 stopped", settled: true},
		{name: "stopped, never made", work: []host.Container{want(101, 1, stopped)}, status: "101 stopped", settled: true},
		{name: "start again after stop", work: []host.Container{want(101, 1)}, seen: []Seen{kept(101, 1)}, images: here,
			steps: "start 101: wanted and stopped", status: "101 waiting starting"},
		{name: "to be started anew", work: []host.Container{want(101, 1, anew)}, seen: []Seen{runs(101, 1)}, images: here,
			steps: "stop 101: start 2 wanted, 0 runs", status: "101 waiting it is started anew"},
		{name: "started anew", work: []host.Container{want(101, 1, anew)}, seen: []Seen{booted(runs(101, 1))}, images: here,
			status: "101 running", settled: true},
		{name: "to be started anew, between the two", work: []host.Container{want(101, 1, anew)}, seen: []Seen{kept(101, 1)}, images: here,
			steps: "start 101: wanted and stopped", status: "101 waiting starting"},
		{name: "to be started anew, and could not be started before", work: []host.Container{want(101, 1, anew)},
			history: map[wire.CTID]History{101: {Generation: 1, Permanent: true, StartErr: "no such program"}}, images: here,
			steps: "start 101: start failed before: no such program", status: "101 failing no such program"},
		{name: "to be started anew, powered off from inside", work: []host.Container{want(101, 1, anew)},
			seen: []Seen{left(exited(101, 1, time.Hour, 130), LeftPowerOff)}, images: here,
			steps: "start 101: exited with code 130", status: "101 failing exited with code 130", settled: true},
		{name: "new generation: stop the old when the image is here", work: []host.Container{want(101, 2)}, seen: []Seen{runs(101, 1)},
			images: here,
			steps:  "stop 101: generation 2 wanted, 1 is here", status: "101 waiting replacing generation 1"},
		{name: "new generation: old runs on while the image comes", work: []host.Container{want(101, 2, imageB)},
			seen: []Seen{runs(101, 1)}, images: here,
			steps: "fetch 101: image nginx is not here", status: "101 waiting fetching image nginx"},
		{name: "new generation: then remove the old, volumes kept", work: []host.Container{want(101, 2)}, seen: []Seen{kept(101, 1)},
			images: here,
			steps:  "start 101: generation 2 wanted, 1 is here", status: "101 waiting replacing generation 1"},
		{name: "new generation: then nothing but its volumes is here", work: []host.Container{want(101, 2)}, seen: []Seen{kept(101, 0)},
			images: here, steps: "start 101: wanted and stopped", status: "101 waiting starting"},
		{name: "an older generation than the one here is wanted", work: []host.Container{want(101, 1)}, seen: []Seen{kept(101, 2)},
			images: here,
			steps:  "start 101: generation 1 wanted, 2 is here", status: "101 waiting replacing generation 2"},
		{name: "absent from work: stop first", seen: []Seen{runs(101, 1)}, steps: "stop 101: not in work revision 7",
			status: "101 stopping being removed"},
		{name: "absent from work: then remove", seen: []Seen{kept(101, 1)}, steps: "remove 101: not in work revision 7",
			status: "101 stopped being removed"},
		{name: "absent from work, crashed", seen: []Seen{exited(101, 1, 0, 1)}, steps: "remove 101: not in work revision 7",
			status: "101 stopped being removed"},
		{name: "removal failed a moment ago", seen: []Seen{kept(101, 1)},
			history: map[wire.CTID]History{101: {StopErr: "busy", FailedAt: now}},
			status:  "101 stopped being removed: busy", wake: 500 * time.Millisecond},
		{name: "removal failed: again", seen: []Seen{kept(101, 1)},
			history: map[wire.CTID]History{101: {StopErr: "busy", FailedAt: now.Add(-time.Minute)}},
			steps:   "remove 101: not in work revision 7 (failed before: busy)", status: "101 stopped being removed: busy"},
		{name: "told to remove, runs", work: []host.Container{want(3, 1, jelastic, removed)}, seen: []Seen{runs(3, 1)},
			steps: "stop 3: work says remove", status: "3 stopping being removed"},
		{name: "told to remove, gone", work: []host.Container{want(3, 1, jelastic, removed)}, settled: true},
		{name: "crash after a long run: at once", work: []host.Container{want(101, 1)}, seen: []Seen{exited(101, 1, 0, 137)}, images: here,
			steps: "start 101: exited with code 137", status: "101 failing exited with code 137", settled: true},
		{name: "out of memory: the reason says so", work: []host.Container{want(101, 1)},
			seen: []Seen{short(exited(101, 1, time.Second, 137), 1, 0, true)}, images: here,
			history: map[wire.CTID]History{101: {Generation: 1, Short: 3}},
			status:  "101 failing exited with code 137: out of memory: process dd used 120 MiB of 128 MiB; next start in 1s", settled: true,
			wake: time.Second},
		{name: "ended for another reason after it", work: []host.Container{want(101, 1)},
			seen: []Seen{short(exited(101, 1, 0, 1), 1, 0, false)}, images: here,
			steps: "start 101: exited with code 1", status: "101 failing exited with code 1", settled: true},
		{name: "a part of it was out of memory: it is told for a while", work: []host.Container{want(101, 1), want(102, 1), want(103, 1)},
			images: here,
			seen: []Seen{short(runs(101, 1), 3, time.Minute, false), short(runs(102, 1), 1, 2*MemoryNews, false),
				short(runs(103, 1), 1, time.Minute, false)},
			status: "101 running out of memory: process dd used 120 MiB of 128 MiB; 3 times within an hour | 102 running | " +
				"103 running out of memory: process dd used 120 MiB of 128 MiB", settled: true},
		{name: "crash after short runs: wait", work: []host.Container{want(101, 1)}, seen: []Seen{exited(101, 1, time.Second, 1)},
			images:  here,
			history: map[wire.CTID]History{101: {Generation: 1, Short: 3}},
			status:  "101 failing exited with code 1; next start in 1s", settled: true, wake: time.Second},
		{name: "crash after short runs: now", work: []host.Container{want(101, 1)}, seen: []Seen{exited(101, 1, 2*time.Second, 1)},
			images:  here,
			history: map[wire.CTID]History{101: {Generation: 1, Short: 3}},
			steps:   "start 101: exited with code 1", status: "101 failing exited with code 1", settled: true},
		{name: "crash of the old generation does not delay the new", work: []host.Container{want(101, 2)},
			seen: []Seen{exited(101, 1, 0, 1)}, images: here,
			history: map[wire.CTID]History{101: {Generation: 1, Short: 8}},
			steps:   "start 101: generation 2 wanted, 1 is here", status: "101 waiting replacing generation 1"},
		{name: "start failed: wait", work: []host.Container{want(101, 1)}, images: here,
			history: map[wire.CTID]History{101: {Generation: 1, Short: 1, StartErr: "no memory", FailedAt: now}},
			status:  "101 failing no memory; next start in 500ms", settled: true, wake: 500 * time.Millisecond},
		{name: "start can't work until work changes", work: []host.Container{want(101, 1)}, images: here,
			history: map[wire.CTID]History{101: {Generation: 1, StartErr: "no such program", Permanent: true}},
			status:  "101 broken no such program", settled: true},
		{name: "work changed after a broken generation", work: []host.Container{want(101, 2)}, images: here,
			history: map[wire.CTID]History{101: {Generation: 1, StartErr: "no such program", Permanent: true}},
			steps:   "start 101: wanted and not here", status: "101 waiting starting"},
		{name: "stop a broken one", work: []host.Container{want(101, 1, stopped)}, images: here,
			history: map[wire.CTID]History{101: {Generation: 1, StartErr: "no such program", Permanent: true}}, status: "101 stopped",
			settled: true},
		{name: "orphan processes end first", work: []host.Container{want(101, 1)}, seen: []Seen{{CTID: 101, Generation: 1, Orphan: true}},
			images: here,
			steps:  "stop 101: processes nobody supervises", status: "101 waiting ending processes nobody supervises"},
		{name: "orphan nobody wants", seen: []Seen{{CTID: 101, Orphan: true}}, steps: "stop 101: not in work revision 7",
			status: "101 stopping being removed"},
		{name: "check not yet made", work: []host.Container{want(101, 1, checked)}, seen: []Seen{runs(101, 1)}, images: here,
			status: "101 starting check has not passed yet", settled: true},
		{name: "check passes", work: []host.Container{want(101, 1, checked)}, seen: []Seen{runs(101, 1)}, images: here,
			health: map[wire.CTID]Health{101: {Checked: true, OK: true}}, status: "101 running", settled: true},
		{name: "check fails", work: []host.Container{want(101, 1, checked)}, seen: []Seen{runs(101, 1)}, images: here,
			health: map[wire.CTID]Health{101: {Checked: true, Reason: "connection refused"}}, status: "101 failing connection refused",
			settled: true},
		{name: "check fails just after the start", work: []host.Container{want(101, 1, checked)},
			seen: []Seen{{CTID: 101, Generation: 1, Running: true, Started: now.Add(-time.Second)}}, images: here,
			health: map[wire.CTID]Health{101: {Checked: true, Reason: "connection refused"}}, status: "101 starting connection refused",
			settled: true},
		{name: "order: stop, remove, resize, fetch, start; then by number",
			work:   []host.Container{want(105, 1, imageB), want(104, 1), want(103, 1), want(102, 1)},
			seen:   []Seen{drifted(runs(102, 1)), kept(101, 1), runs(100, 1)},
			images: here,
			steps: "stop 100: not in work revision 7 | remove 101: not in work revision 7 | resize 102: memory.max is 5, wanted 6 | " +
				"fetch 105: image nginx is not here | start 103: wanted and not here | start 104: wanted and not here",
			status: "100 stopping being removed | 101 stopped being removed | 102 running | 103 waiting starting | 104 waiting starting " +
				"| 105 waiting fetching image nginx"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			in := Input{Now: now, Images: tt.images, History: tt.history, Health: tt.health, Seen: map[wire.CTID]Seen{}}
			if !tt.noWork {
				in.Work = &host.Work{Revision: 7, Containers: tt.work}
			}
			for _, s := range tt.seen {
				in.Seen[s.CTID] = s
			}
			out := Decide(in)
			if got := renderSteps(out.Steps); got != tt.steps {
				t.Errorf("steps:\n got %s\nwant %s", got, tt.steps)
			}
			if got := renderStatuses(out.Statuses); got != tt.status {
				t.Errorf("statuses:\n got %s\nwant %s", got, tt.status)
			}
			if out.Settled != tt.settled {
				t.Errorf("settled: got %v, want %v", out.Settled, tt.settled)
			}
			if wake := max(out.Wake.Sub(now), 0); wake != tt.wake && !(out.Wake.IsZero() && tt.wake == 0) {
				t.Errorf("wake: got %v, want %v", wake, tt.wake)
			}
		})
	}
}

func renderSteps(steps []Step) string {
	var out []string
	for _, s := range steps {
		out = append(out, fmt.Sprintf("%s %d: %s", s.Kind, s.CTID, s.Reason))
	}
	return strings.Join(out, " | ")
}

func renderStatuses(sts []host.ContainerStatus) string {
	var out []string
	for _, s := range sts {
		text := strings.TrimSpace(fmt.Sprintf("%d %s %s", s.CTID, s.State, s.Reason))
		if !s.NextStart.IsZero() {
			text += fmt.Sprintf("; next start in %s", s.NextStart.Sub(now))
		}
		out = append(out, text)
	}
	return strings.Join(out, " | ")
}

// TestDecideConverges carries the steps out on a model of a host and checks that, whatever is there at first, a few rounds lead to what
// is wanted, after which nothing is touched any more.
func TestDecideConverges(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		work := &host.Work{Revision: 1}
		for id := wire.CTID(100); id < 106; id++ {
			switch rapid.IntRange(0, 3).Draw(t, "wanted") {
			case 0, 1:
				work.Containers = append(work.Containers, want(id, rapid.Int64Range(1, 2).Draw(t, "gen")))
			case 2:
				work.Containers = append(work.Containers, want(id, 1, stopped))
			}
		}
		in := Input{Work: work, Now: now, Seen: map[wire.CTID]Seen{}, Images: map[wire.Digest]Image{}}
		for id := wire.CTID(100); id < 106; id++ {
			gen := rapid.Int64Range(1, 2).Draw(t, "seenGen")
			switch rapid.IntRange(0, 4).Draw(t, "seen") {
			case 0:
				in.Seen[id] = runs(id, gen)
			case 1:
				in.Seen[id] = kept(id, gen)
			case 2:
				in.Seen[id] = exited(id, gen, time.Hour, 1)
			case 3:
				in.Seen[id] = Seen{CTID: id, Generation: gen, Orphan: true}
			}
		}
		for range 6 {
			for _, s := range Decide(in).Steps {
				carryOut(in, s)
			}
		}
		out := Decide(in)
		if len(out.Steps) > 0 || !out.Settled {
			t.Fatalf("not settled after 6 rounds: %s", renderSteps(out.Steps))
		}
		for _, c := range work.Containers {
			s, ok := in.Seen[c.CTID]
			if c.Run && (!ok || !s.Running || s.Generation != c.Generation) || !c.Run && s.Running {
				t.Fatalf("container %d: wanted run=%v generation %d, got %+v", c.CTID, c.Run, c.Generation, s)
			}
		}
		for id := range in.Seen {
			if !slices.ContainsFunc(work.Containers, func(c host.Container) bool { return c.CTID == id }) {
				t.Fatalf("container %d is still here", id)
			}
		}
	})
}

func carryOut(in Input, s Step) {
	seen := in.Seen[s.CTID]
	switch s.Kind {
	case Fetch:
		in.Images[s.Want.Image.Digest] = Image{Present: true}
	case Start:
		in.Seen[s.CTID] = Seen{CTID: s.CTID, Generation: s.Want.Generation, Running: true, Started: in.Now}
	case Stop:
		in.Seen[s.CTID] = kept(s.CTID, seen.Generation)
	case Remove:
		delete(in.Seen, s.CTID)
	case Resize:
		seen.Drift = ""
		in.Seen[s.CTID] = seen
	}
}

// TestWaitingSaysTheSame: as long as a container waits for its next start, whatever the reason, its status is the same from round to round.
func TestWaitingSaysTheSame(t *testing.T) {
	noticed := now.Add(123456789)
	for name, in := range map[string]Input{
		"it exited":           {Seen: map[wire.CTID]Seen{101: {CTID: 101, Generation: 1, Exited: noticed, ExitCode: 1}}},
		"it can't be started": {History: map[wire.CTID]History{101: {Generation: 1, StartErr: "no memory", FailedAt: noticed}}},
		"it was out of memory": {Seen: map[wire.CTID]Seen{101: {CTID: 101, Generation: 1, Exited: noticed, ExitCode: 137,
			Memory: Memory{Times: 1, Last: "out of memory", At: noticed, Ended: true}}}},
	} {
		in.Work = &host.Work{Revision: 1, Containers: []host.Container{want(101, 1)}}
		in.Images = map[wire.Digest]Image{in.Work.Containers[0].Image.Digest: {Present: true}}
		h := in.History[101]
		h.Generation, h.Short = 1, 5
		in.History = map[wire.CTID]History{101: h}
		var first []host.ContainerStatus
		for _, after := range []time.Duration{0, time.Millisecond, time.Second, 3700 * time.Millisecond, 7 * time.Second} {
			in.Now = noticed.Add(after)
			got := Decide(in).Statuses
			if first == nil {
				first = got
			}
			if !reflect.DeepEqual(got, first) || got[0].NextStart.Sub(noticed).Round(time.Second) != 8*time.Second {
				t.Errorf("%s, %s later: got %+v, want %+v and the next start 8 s after it was noticed", name, after, got, first)
			}
		}
	}
}
