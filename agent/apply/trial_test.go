package apply

import (
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"hardnode.dev/agent/container"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
)

// component is a version of one on trial for so long; 0: it is confirmed.
func component(gen int64, image wire.Digest, trial time.Duration) host.Container {
	c := ct(3, gen)
	c.Env, c.Component, c.Image.Digest = "jelastic", "orchestrator", image
	c.Volumes = []host.Volume{{Name: "data", Path: "/data"}}
	if trial > 0 {
		c.ConfirmBy = time.Now().Add(trial)
	}
	return c
}

// TestTrial: whatever becomes of a component's new version, and of this agent meanwhile: without a word of the orchestrator the former one
// runs again, nothing is tried twice, and the report says why.
func TestTrial(t *testing.T) {
	const minute = time.Minute
	for _, c := range []struct {
		name  string
		fault func(t *testing.T, w *world, a *agent, dir string)
		early bool   // it is gone back from before its time is over
		never bool   // the former version was never stopped
		why   string // in the report
	}{
		{name: "nobody confirms", why: "was not confirmed by"},
		{name: "the agent is killed before it is confirmed", why: "was not confirmed by",
			fault: func(t *testing.T, w *world, a *agent, dir string) {
				time.Sleep(20 * time.Second)
				a.stop()
				*a = w.agent(t, dir)
			}},
		{name: "the power is cut before it is confirmed", why: "was not confirmed by",
			fault: func(t *testing.T, w *world, a *agent, dir string) {
				time.Sleep(20 * time.Second)
				a.stop()
				w.mu.Lock()
				clear(w.cts)
				w.mu.Unlock()
				time.Sleep(5 * time.Second)
				*a = w.agent(t, dir)
			}},
		{name: "the agent is down when the time is over", why: "was not confirmed by",
			fault: func(t *testing.T, w *world, a *agent, dir string) {
				a.stop()
				time.Sleep(2 * minute)
				*a = w.agent(t, dir)
			}},
		{name: "its image can't be fetched", never: true, why: "was not confirmed by",
			fault: func(t *testing.T, w *world, a *agent, dir string) {
				w.mu.Lock()
				defer w.mu.Unlock()
				w.fetchErr[imgB] = errors.New("no room on DATA: image needs 30 MiB")
			}},
		{name: "it crashes", early: true, why: "ended 4 times in a row",
			fault: func(t *testing.T, w *world, a *agent, dir string) {
				w.mu.Lock()
				defer w.mu.Unlock()
				w.livesOf = map[wire.Digest]time.Duration{imgB: 2 * time.Second} // such as one that refuses the store
			}},
		{name: "it can't be started", early: true, why: "did not start 4 times in a row: mount",
			fault: func(t *testing.T, w *world, a *agent, dir string) {
				w.mu.Lock()
				defer w.mu.Unlock()
				w.startErrOf = map[wire.Digest]error{imgB: errors.New("mount: no space left on device")}
			}},
		{name: "what was gone back from can't be kept", why: "was not confirmed by",
			fault: func(t *testing.T, w *world, a *agent, dir string) {
				time.Sleep(10 * time.Second)
				os.Remove(filepath.Join(dir, "reserve"))
				work := filepath.Join(dir, "work.json")
				if err := errors.Join(os.Rename(work, work+".kept"), os.Mkdir(work, 0o700),
					os.WriteFile(filepath.Join(work, "x"), nil, 0o600)); err != nil {
					t.Fatal(err)
				}
			}},
	} {
		t.Run(c.name, func(t *testing.T) {
			in(t, func(t *testing.T, w *world, dir string) {
				a := w.agent(t, dir)
				a.want(t, component(1, imgA, 0))
				time.Sleep(5 * time.Second)
				a.want(t, component(2, imgB, minute))
				if c.fault != nil {
					c.fault(t, w, &a, dir)
				}
				if c.early {
					time.Sleep(40 * time.Second)
				} else {
					time.Sleep(2 * minute)
				}
				back := func(when string) {
					t.Helper()
					w.mu.Lock()
					o := w.cts[3]
					w.mu.Unlock()
					if o.State != "running" || o.Generation != 1 || o.Spec.Image.Digest != imgA {
						t.Errorf("%s: generation %d is %s; done: %s", when, o.Generation, o.State, w.log())
					}
					r := a.Report()
					if len(r.Containers) != 1 || len(r.Problems) != 1 {
						t.Fatalf("%s: the report is %+v", when, r)
					}
					s := r.Containers[0]
					if s.Generation != 1 || s.State != host.CtRunning || s.Image != imgA || s.WentBack.Generation != 2 ||
						!strings.Contains(s.WentBack.Reason, c.why) || !strings.Contains(r.Problems[0].Reason, c.why) {
						t.Errorf("%s: the report says %+v, %+v", when, s, r.Problems)
					}
				}
				back("at first")
				if c.never && strings.Contains(w.log(), "stop 3") {
					t.Errorf("the former version was stopped: %s", w.log())
				}
				w.mu.Lock()
				w.fetchErr, w.livesOf, w.startErrOf = map[wire.Digest]error{}, nil, nil // were it tried again, it would succeed
				starts := strings.Count(strings.Join(w.done, ", "), "start 3/2")
				w.mu.Unlock()
				time.Sleep(minute)
				if c.name != "what was gone back from can't be kept" {
					a.stop()
					a = w.agent(t, dir)
					time.Sleep(minute)
				}
				back("later")
				if n := strings.Count(w.log(), "start 3/2"); n != starts {
					t.Errorf("it was tried again: %s", w.log())
				}
			})
		})
	}
}

// TestTrialConfirmed: a component that is confirmed in time stays, and is what the next one goes back to.
func TestTrialConfirmed(t *testing.T) {
	in(t, func(t *testing.T, w *world, dir string) {
		a := w.agent(t, dir)
		a.want(t, component(1, imgA, 0))
		time.Sleep(5 * time.Second)
		a.want(t, component(2, imgB, time.Minute))
		time.Sleep(30 * time.Second)
		a.want(t, component(2, imgB, 0))
		time.Sleep(5 * time.Minute)
		expect(t, "confirmed", w.log(), "start 3/1, fetch, stop 3, start 3/2")
		a.want(t, component(3, imgA, time.Minute))
		time.Sleep(5 * time.Minute)
		if r := a.Report(); r.Containers[0].Generation != 2 || r.Containers[0].WentBack.Generation != 3 {
			t.Errorf("the report says %+v", r.Containers)
		}
		a.want(t, component(2, imgB, 0)) // the orchestrator has heard of it
		time.Sleep(time.Minute)
		if r := a.Report(); r.Containers[0].WentBack != (host.WentBack{}) || len(r.Problems) != 0 {
			t.Errorf("what is over is still told: %+v", r)
		}
		if n := strings.Count(w.log(), "start 3/2"); n != 2 {
			t.Errorf("started anew: %s", w.log())
		}
	})
}

// TestBeside: a version of the resolver runs beside the one before, which goes on: the published ports lead to one that serves at each
// moment, whatever becomes of the new one, and of this agent meanwhile.
func TestBeside(t *testing.T) {
	resolver := func(gen int64, image wire.Digest, trial time.Duration) host.Container {
		c := component(gen, image, trial)
		c.CTID, c.Component, c.Check = 4, host.ComponentResolver, &host.Check{Port: 80}
		c.IPv4, c.Publish = netip.MustParseAddr("10.96.0.14"), []host.Port{{Proto: "tcp", Host: 80, Container: 80}}
		return c
	}
	const begun = "lead to 4, start 4/1, fetch, start 54/2"
	const over = ", lead to 54, stop 4, start 4/2, lead to 4, stop 54, remove 54 keep=false"
	for _, c := range []struct {
		name   string
		refuse bool // its check never passes
		lives  time.Duration
		then   func(t *testing.T, w *world, a *agent, dir string)
		want   string
		serves int64 // generation
	}{
		{name: "confirmed", serves: 2, want: begun + over,
			then: func(t *testing.T, w *world, a *agent, dir string) { a.want(t, resolver(2, imgB, 0)) }},
		{name: "confirmed, and the agent is killed", serves: 2, want: begun + over,
			then: func(t *testing.T, w *world, a *agent, dir string) {
				a.stop()
				w.mu.Lock()
				w.led = 54
				w.mu.Unlock()
				*a = w.agent(t, dir)
				a.want(t, resolver(2, imgB, 0))
			}},
		{name: "nobody confirms", serves: 1, want: begun + ", lead to 54, lead to 4, stop 54, remove 54 keep=false"},
		{name: "it never serves", refuse: true, serves: 1, want: begun + ", stop 54, remove 54 keep=false"},
		{name: "it crashes", refuse: true, lives: 2 * time.Second, serves: 1,
			want: begun + ", start 54/2, start 54/2, start 54/2, remove 54 keep=false"},
	} {
		t.Run(c.name, func(t *testing.T) {
			in(t, func(t *testing.T, w *world, dir string) {
				if c.refuse {
					w.checkErrOf = map[netip.Addr]error{netip.MustParseAddr("10.96.0.64"): errors.New("connection refused")}
				}
				w.livesOf = map[wire.Digest]time.Duration{imgB: c.lives}
				a := w.agent(t, dir)
				a.want(t, resolver(1, imgA, 0))
				time.Sleep(20 * time.Second)
				a.want(t, resolver(2, imgB, time.Minute))
				time.Sleep(20 * time.Second)
				if c.then != nil {
					c.then(t, w, &a, dir)
				}
				time.Sleep(2 * time.Minute)
				expect(t, c.name, w.log(), c.want)
				r := a.Report()
				if len(r.Containers) != 1 || r.Containers[0].CTID != 4 || r.Containers[0].State != host.CtRunning ||
					r.Containers[0].Generation != c.serves {
					t.Errorf("the report is %+v", r)
				}
			})
		})
	}
}

// TestLastWords: what a version on trial said is kept in the host's log when it is gone back from, for its own log goes with it.
func TestLastWords(t *testing.T) {
	w := newWorld()
	w.said = map[wire.CTID]string{3: "panic: no room\n", 54: "no routes\n"}
	a := &Applier{o: Options{Runtime: w}}
	resolver := component(2, imgB, time.Minute)
	resolver.CTID, resolver.Component = 4, host.ComponentResolver
	work := &host.Work{Containers: []host.Container{component(2, imgB, time.Minute), resolver}}
	for _, c := range []struct {
		of, at wire.CTID
		gen    int64
		want   string
	}{{3, 3, 2, "panic: no room"}, {4, 54, 2, "no routes"}, {3, 3, 1, ""}, {4, 4, 2, ""}, {5, 5, 2, ""}} {
		seen := []container.Observed{{CTID: c.at, Generation: c.gen}}
		if got := a.lastWords(t.Context(), work, seen, c.of); got != c.want {
			t.Errorf("of %d, with generation %d as %d: got %q, want %q", c.of, c.gen, c.at, got, c.want)
		}
	}
}
