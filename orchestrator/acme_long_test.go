package main

import (
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"hardnode.dev/internal/run"
	"hardnode.dev/internal/wire/front"
)

// TestCertificatesLong is TestIssued and TestCAAway by the real clock: certificates last 90 s and are renewed when a third of that is left.
// One renewal is made in its time, one with the CA away for two thirds of it, one after it was away for longer than a certificate lasts.
// Clients believe what they are shown all the time but when it has ended.
func TestCertificatesLong(t *testing.T) {
	if os.Getenv("HARDNODE_SOAK") == "" {
		t.Skip("a part of make soak: it takes 6 minutes (set HARDNODE_SOAK=1)")
	}
	const life = 90 * time.Second
	c := asksCA(t, life, false)
	c.ca.set(func() { c.ca.mute = true })
	c.ok("PUT", "/api/v1/cluster/acme", c.settings(), nil)
	c.ok("PUT", "/api/v1/environments/hello/domains/shop.example", front.Scheme{}, nil)
	c.served("shop.example")
	away := func(is bool) { c.ca.set(func() { c.ca.away = is }) }
	renewed := func() time.Time { return c.name("shop.example").Issue.Next }
	ends := func() time.Time { return c.name("shop.example").Certificate.Ends }

	var may atomic.Bool // it has ended: clients may refuse it
	refused, asked := 0, 0
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			select {
			case <-stop:
				return
			case <-time.After(200 * time.Millisecond):
			}
			asked++
			if _, _, _, err := shown(t.Context(), c.secure, "shop.example", c.ca.roots); err != nil && !may.Load() {
				refused++
				t.Logf("%s: a client refuses it: %v", time.Now().Format(time.TimeOnly), err)
			}
		}
	}()
	next := func(when string, until time.Time) {
		t.Helper()
		was := ends()
		c.eventually(when, func() bool { return ends().After(was) })
		if now := time.Now(); now.After(until) {
			t.Errorf("%s: renewed at %s, want before %s", when, now.Format(time.TimeOnly), until.Format(time.TimeOnly))
		}
		t.Logf("%s: renewed at %s, the one before ended at %s", when, time.Now().Format(time.TimeOnly), was.Format(time.TimeOnly))
	}
	next("in its time", ends())

	run.Wait(t.Context(), time.Until(renewed()))
	away(true)
	run.Wait(t.Context(), time.Until(ends().Add(-life/9))) // two thirds of the last third
	if !c.alarms("and is not renewed: the CA is not reached") {
		t.Error("no alarm tells")
	}
	away(false)
	next("with the CA away for two thirds of the time", ends())

	run.Wait(t.Context(), time.Until(renewed()))
	away(true)
	run.Wait(t.Context(), time.Until(ends().Add(-2*time.Second)))
	may.Store(true)
	run.Wait(t.Context(), time.Until(ends().Add(life)))
	if !c.alarms("the certificate of shop.example has ended at ") ||
		!strings.HasPrefix(c.name("shop.example").Certificate.Warning, "it has ended: clients refuse it: the CA is not reached") {
		t.Errorf("nobody is told: %+v", c.name("shop.example"))
	}
	away(false)
	next("after the CA was away for longer than a certificate lasts", time.Now().Add(30*time.Second))
	c.served("shop.example")
	may.Store(false)
	next("in its time again", ends())
	close(stop)
	<-stopped
	t.Logf("%d times a client asked, %d refused what was shown before it had ended; %d orders", asked, refused, c.ca.orders.Load())
	if refused > 0 || asked < 300 {
		t.Errorf("of %d clients %d refused what was shown", asked, refused)
	}
}
