package license_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"hardnode.dev/internal/license"
)

const day = 24 * time.Hour

func TestStandingOverTime(t *testing.T) {
	long := bought
	long.Expires = day0.Add(10 * year)
	short := bought
	short.Expires = day0.Add(7 * day)
	for _, c := range []struct {
		name string
		lic  license.License
		days float64
		want license.State
	}{
		{"new", long, 0, license.StateActive},
		{"lease still good", long, 13.9, license.StateActive},
		{"lease ended", long, 14, license.StateDue},
		{"silent for three days", long, 16.9, license.StateDue},
		{"banner", long, 17, license.StateGrace},
		{"JLS away 29 days after the lease", long, 43, license.StateGrace},
		{"JLS away 33 days after the lease", long, 47, license.StateLimited},
		{"licence ends before the lease", short, 7, license.StateDue},
		{"licence in grace", short, 10, license.StateGrace},
		{"licence ended for good", short, 40, license.StateExpired},
	} {
		t.Run(c.name, func(t *testing.T) {
			first := license.Standing{}.Next(license.Input{Now: day0, License: c.lic})
			now := day0.Add(time.Duration(c.days * float64(day)))
			got := first.Next(license.Input{Now: now, License: c.lic})
			if got.State != c.want {
				t.Fatalf("after %.1f days: got %s (%s), want %s", c.days, got.State, got.Reason, c.want)
			}
			if (got.Reason == "") != (got.State == license.StateActive) {
				t.Errorf("state %s with reason %q", got.State, got.Reason)
			}
		})
	}
}

func TestStandingWithoutLicence(t *testing.T) {
	for _, in := range []license.Input{
		{Now: day0},
		{Now: day0, Err: license.ErrSignature, License: bought},
		{Now: day0.Add(-time.Hour), Err: license.ErrNotYet, License: bought},
	} {
		if got := (license.Standing{}).Next(in); got.State != license.StateNone || got.Reason == "" || got.State.MayGrow() {
			t.Errorf("%+v: got %+v", in, got)
		}
	}
}

func TestStandingClockSetBack(t *testing.T) {
	s := license.Standing{}.Next(license.Input{Now: day0.Add(20 * day), License: bought})
	s = s.Next(license.Input{Now: day0.Add(36 * day), License: bought})
	if s.State != license.StateDue {
		t.Fatalf("16 days after the first look: %s", s.State)
	}
	back := s.Next(license.Input{Now: day0, Elapsed: 2 * day, License: bought, Err: license.ErrNotYet})
	if back.State != license.StateGrace {
		t.Errorf("a clock that is set back neither wins time nor stops the count: got %s", back.State)
	}
	// A clock that was decades ahead is forgiven by the next lease.
	ahead := s.Next(license.Input{Now: day0.Add(20 * year), License: bought})
	if ahead.State.MayGrow() {
		t.Fatalf("20 years on: %s", ahead.State)
	}
	lease := leased
	lease.Issued, lease.Expires = day0.Add(40*day), day0.Add(54*day)
	if cured := ahead.Next(license.Input{Now: day0.Add(40 * day), License: bought, Lease: lease}); cured.State != license.StateActive {
		t.Errorf("after a fresh lease: got %s (%s)", cured.State, cured.Reason)
	}
}

func TestStandingRefused(t *testing.T) {
	s := license.Standing{}.Next(license.Input{Now: day0, License: bought, Refused: "licence revoked"})
	if s.State != license.StateActive || !strings.Contains(s.Reason, "revoked") {
		t.Errorf("a refusal must be told but not punished at once: %+v", s)
	}
}

// However the clock walks: believed time never falls without a new lease, a state never improves without a new lease, and an
// installation that is never renewed is limited no earlier than lease + due + grace after the licence was first seen.
func TestStandingClockWalks(t *testing.T) {
	order := map[license.State]int{license.StateActive: 0, license.StateDue: 1, license.StateGrace: 2, license.StateLimited: 3,
		license.StateExpired: 3}
	rapid.Check(t, func(t *rapid.T) {
		lic := bought
		lic.Expires = day0.Add(time.Duration(rapid.IntRange(1, 4000).Draw(t, "days")) * day)
		real, skew := day0, time.Duration(0)
		var s license.Standing
		var lease license.Lease
		for range rapid.IntRange(1, 60).Draw(t, "looks") {
			step := time.Duration(rapid.IntRange(0, 72).Draw(t, "hours")) * time.Hour
			real = real.Add(step)
			restart := rapid.Bool().Draw(t, "restart")
			if rapid.IntRange(0, 9).Draw(t, "touch the clock") == 0 {
				skew = time.Duration(rapid.IntRange(-9000, 9000).Draw(t, "skew hours")) * time.Hour
			}
			renewed := rapid.IntRange(0, 4).Draw(t, "renew") == 0 && real.Before(lic.Expires)
			if renewed {
				lease = license.Lease{License: lic.ID, Issued: real, Expires: real.Add(license.LeaseFor)}
			}
			in := license.Input{Now: real.Add(skew), Elapsed: step, License: lic, Lease: lease}
			if restart {
				in.Elapsed = 0
			}
			if in.Now.Before(lic.Issued) {
				in.Err = license.ErrNotYet
			}
			next := s.Next(in)
			fresh := renewed && lease.Issued.After(s.Synced)
			if !fresh && next.Seen.Before(s.Seen) {
				t.Fatalf("believed time fell from %s to %s without a lease", s.Seen, next.Seen)
			}
			if !fresh && s.State != "" && s.State != license.StateNone && order[next.State] < order[s.State] {
				t.Fatalf("%s became %s without a lease", s.State, next.State)
			}
			if skew == 0 && fresh && !next.State.MayGrow() {
				t.Fatalf("limited just after a lease, with a right clock: %+v", next)
			}
			if !next.State.MayGrow() && next.Reason == "" {
				t.Fatalf("%s without a reason", next.State)
			}
			if next.State == license.StateLimited && next.Seen.Sub(next.Since) < license.LeaseFor+license.DueFor+license.GraceFor {
				t.Fatalf("limited after %s", next.Seen.Sub(next.Since))
			}
			s = next
		}
	})
}

func TestStandingTakesVerifyErrors(t *testing.T) {
	tok := token(t, signer(t, root, signing), bought)
	now := day0.Add(year + time.Hour)
	l, err := license.Verify(tok, pub(root), now)
	if !errors.Is(err, license.ErrExpired) {
		t.Fatal(err)
	}
	if s := (license.Standing{License: l.ID, Since: day0, Seen: day0}).Next(license.Input{Now: now, License: l,
		Err: err}); s.State != license.StateLimited && s.State != license.StateExpired {
		t.Errorf("never leased and a year on: got %s", s.State)
	}
}
