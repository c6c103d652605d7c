package door

import (
	"fmt"
	"net/http"
	"strconv"
	"time"

	"hardnode.dev/internal/limit"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/account"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/orchestrator/authz"
)

// asks are the buckets of a caller: the token's own first, then the account's.
func asks(who authz.Who) []limit.Ask {
	account, first := "account "+string(who.Account.Owner()), who.Account.Owner() == wire.AdminAccount
	return []limit.Ask{{Key: "token " + who.ID, Of: account, Rate: rate(who.Rates.Token), First: first},
		{Key: account, Rate: rate(who.Rates.Account), First: first}}
}

func rate(r account.APIRate) limit.Rate {
	return limit.Rate{PerSecond: float64(r.PerSecond), Burst: r.Burst}
}

// whose names a caller in a refusal.
func whose(who authz.Who) string {
	if who.User != "" {
		return "this session of " + who.Name
	}
	return fmt.Sprintf("token %q", who.Name)
}

func whoseAll(who authz.Who) string {
	return fmt.Sprintf("account %q with all its tokens and sessions", who.Account.Owner())
}

// paced lets a request in when its token and its account have not asked too fast, and says in the answer how much more they may
// (draft-ietf-httpapi-ratelimit-headers). A refused one has begun nothing: it may be sent again, whatever it is, and
// is known by its RateLimit-Policy.
func (d *Door) paced(w http.ResponseWriter, r *http.Request, who authz.Who) *operator.Problem {
	of := asks(who)
	room, ok := d.rates.Take(of...)
	name, rate, whose := "token", who.Rates.Token, whose(who)
	if room.Ask == 1 {
		name, rate, whose = "account", who.Rates.Account, whoseAll(who)
	}
	if room.Shared {
		whose += ", with others for whom none of their own is counted,"
	}
	wait := (room.Wait + time.Second - 1) / time.Second
	w.Header().Set("RateLimit", fmt.Sprintf("%q;r=%d;t=%d", name, room.Left, wait))
	if ok {
		return nil
	}
	w.Header().Set("RateLimit-Policy", fmt.Sprintf("%q;q=%d;w=%d", name, rate.Burst, max(rate.Burst/rate.PerSecond, 1)))
	w.Header().Set("Retry-After", strconv.Itoa(int(wait)))
	return operator.TooMany(r.URL.Path, fmt.Sprintf("%s has the limit of %s, used up", whose, rate),
		fmt.Sprintf("wait %d s, and ask less often", wait), room.Wait)
}
