package certify

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"hardnode.dev/internal/wire"
	"hardnode.dev/orchestrator/store"
)

// What an account and the cluster ask a CA for at most in a window, so that no account uses up what the CA allows the cluster. Let's
// Encrypt takes 300 orders of one account in three hours. A renewal counts for the cluster alone, which keeps some for them.
const (
	window      = 3 * time.Hour
	MaxAccount  = 20
	maxNew      = 200
	MaxCluster  = 250
	maxInFlight = 8
)

// How long a name rests after a try that brought nothing; it doubles. CAs take five failed validations of a name in an hour.
const (
	firstLook = time.Minute // the CA was not asked: the name does not lead here
	longLook  = 15 * time.Minute
	firstRest = 15 * time.Minute
	longRest  = 12 * time.Hour
	longHint  = 7 * 24 * time.Hour // the longest Retry-After that is believed
)

// Parts of a certificate's life.
const (
	renewPart = 3  // a third is left: it is renewed, unless the CA says another time
	latePart  = 6  // a sixth: the latest time that a CA may say
	alarmPart = 4  // a quarter: it was to be renewed, and was not
	restPart  = 18 // between two tries to renew it, at most
)

// life is how long a certificate lasts.
func life(rec store.Issue) time.Duration {
	if rec.Certificate == nil {
		return 0
	}
	return rec.Certificate.Ends.Sub(rec.Begins)
}

// renewAt is when a certificate is renewed; suggested is what the CA says (RFC 9773), or zero.
func renewAt(begins, ends, suggested time.Time) time.Time {
	last := ends.Sub(begins)
	switch latest := ends.Add(-last / latePart); {
	case suggested.IsZero():
		return ends.Add(-last / renewPart)
	case suggested.After(latest):
		return latest
	}
	return suggested
}

// rest is how long a name rests after so many tries; hint is what the CA said (Retry-After), or zero. What has a certificate that ends soon
// rests less.
func rest(rec store.Issue, now, hint time.Time) time.Duration {
	first, long := firstLook, longLook
	if rec.Asked {
		first, long = firstRest, longRest
	}
	d := min(long, first<<min(max(rec.Tries-1, 0), 10))
	if l := life(rec); l > 0 {
		d = min(d, max(l/restPart, time.Second))
	}
	if said := hint.Sub(now); !hint.IsZero() && said > d {
		d = min(said, longHint)
	}
	return d
}

// to is what is to be done for a name.
type to int

const (
	nothing to = iota
	begin      // ask for a certificate
	advance    // go on with what is under way
	look       // ask the CA when to renew
)

// next is what is to be done for a name, at that moment; a moment that is over is now.
func next(rec store.Issue) (to, time.Time) {
	switch {
	case rec.Order != nil:
		return advance, time.Time{}
	case rec.Certificate == nil:
		return begin, rec.Next
	case rec.Look.IsZero() || rec.Look.After(rec.Renew):
		return begin, later(rec.Renew, rec.Next)
	}
	return look, rec.Look
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// lately is when a certificate was asked for in the window before now.
func lately(times []time.Time, now time.Time) []time.Time {
	return slices.DeleteFunc(slices.Clone(times), func(t time.Time) bool { return !t.After(now.Add(-window)) || t.After(now.Add(window)) })
}

// admit tells why an account may not ask for one more certificate now, and until when; "": it may.
func admit(all []store.Asked, owner wire.Account, renewal bool, now time.Time) (why string, until time.Time) {
	var times, mine []time.Time
	for _, a := range all {
		in := lately(a.Times, now)
		times = append(times, in...)
		if a.Account == owner {
			mine = slices.DeleteFunc(slices.Clone(in), func(t time.Time) bool { return slices.ContainsFunc(a.Renewed, t.Equal) })
		}
	}
	whose, limit, list := "the cluster", maxNew, times
	if renewal {
		limit = MaxCluster
	} else if len(mine) >= MaxAccount {
		whose, limit, list = "the account", MaxAccount, mine
	}
	if len(list) < limit {
		return "", time.Time{}
	}
	slices.SortFunc(list, time.Time.Compare)
	until = list[len(list)-limit].Add(window)
	return fmt.Sprintf("%s has asked for %d certificates in the last %s, and asks for no more before %s", whose, len(list), "3 hours",
		stamp(until)), until
}

// leads tells why the CA would not find the cluster at a name, by the addresses found of it; "": it would. CAs choose among them.
func leads(name string, found []netip.Addr, err error, ours []netip.Addr) string {
	if err != nil {
		return fmt.Sprintf("the DNS was asked where %s points to: %v", name, err)
	}
	if len(ours) == 0 {
		return "nobody has said at which address the world reaches the cluster's resolvers: hnctl cluster acme set --address"
	}
	if len(found) == 0 {
		return fmt.Sprintf("%s has no address in the DNS: let it point to %s", name, joined(ours))
	}
	strange := slices.DeleteFunc(slices.Clone(found), func(a netip.Addr) bool { return slices.Contains(ours, a.Unmap()) })
	if len(strange) > 0 {
		also := ""
		if len(strange) < len(found) {
			also = "also "
		}
		return fmt.Sprintf("%s %spoints to %s, not to this cluster's resolver %s", name, also, joined(strange), joined(ours))
	}
	return ""
}

func joined(list []netip.Addr) string {
	var out []string
	for _, a := range list {
		out = append(out, a.Unmap().String())
	}
	slices.Sort(out)
	return strings.Join(out, ", ")
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// turn orders names that a certificate is to be asked for: what ends first before what has none, of the others those of accounts that asked
// for least.
type turn struct {
	rec   store.Issue
	asked int // by its account, lately
}

func before(a, b turn) int {
	x, y := a.rec.Certificate, b.rec.Certificate
	switch {
	case x != nil && y != nil:
		return x.Ends.Compare(y.Ends)
	case x != nil:
		return -1
	case y != nil:
		return 1
	case a.asked != b.asked:
		return a.asked - b.asked
	case a.rec.Tries != b.rec.Tries: // whoever brought nothing so far waits for the others
		return a.rec.Tries - b.rec.Tries
	}
	return strings.Compare(a.rec.Name, b.rec.Name)
}

// How many names are begun in one pass, of one account and in all. A pass waits for its steps, and the DNS of somebody's own names is as
// slow as they like.
const (
	begunOfOne = 2
	begunOfAll = 8
)

// inTurn leaves out what has to wait for the next pass, of names in the order of their turn.
func inTurn(due []name) []name {
	of, all := map[wire.Account]int{}, 0
	return slices.DeleteFunc(due, func(n name) bool {
		if n.do != begin {
			return false
		}
		if of[n.owner] >= begunOfOne || all >= begunOfAll {
			return true
		}
		of[n.owner]++
		all++
		return false
	})
}
