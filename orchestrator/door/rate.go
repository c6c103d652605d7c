package door

import (
	"fmt"
	"net/http"
	"strconv"
	"time"

	"hardnode.dev/internal/limit"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/orchestrator/authz"
)

// What a token or session may ask, and all of an account's together. The admins' are for tools that follow the whole cluster.
var (
	tokenRate   = limit.Rate{PerSecond: 20, Burst: 300}
	accountRate = limit.Rate{PerSecond: 60, Burst: 900}
	adminRate   = limit.Rate{PerSecond: 200, Burst: 2000}
	adminsRate  = limit.Rate{PerSecond: 600, Burst: 6000}
)

// asks are the buckets of a caller: the token's own first, then the account's.
func asks(who authz.Who) []limit.Ask {
	one, all := tokenRate, accountRate
	if who.Account.Owner() == wire.AdminAccount {
		one, all = adminRate, adminsRate
	}
	return []limit.Ask{{Key: "token " + who.ID, Rate: one}, {Key: "account " + string(who.Account.Owner()), Rate: all}}
}

// paced lets a request in when its token and its account have not asked too fast, and says in the answer how much more they may
// (draft-ietf-httpapi-ratelimit-headers). A refused one has begun nothing: it may be sent again, whatever it is, and
// is known by its RateLimit-Policy.
func (d *Door) paced(w http.ResponseWriter, r *http.Request, who authz.Who) bool {
	of := asks(who)
	room, ok := d.rates.Take(of...)
	name, rate := "token", of[room.Ask].Rate
	whose := fmt.Sprintf("token %q", who.Name)
	if who.User != "" {
		whose = "this session of " + who.Name
	}
	if room.Ask == 1 {
		name, whose = "account", fmt.Sprintf("account %q with all its tokens and sessions", who.Account.Owner())
	}
	wait := (room.Wait + time.Second - 1) / time.Second
	w.Header().Set("RateLimit", fmt.Sprintf("%q;r=%d;t=%d", name, room.Left, wait))
	if ok {
		return true
	}
	w.Header().Set("RateLimit-Policy", fmt.Sprintf("%q;q=%d;w=%d", name, rate.Burst, int(float64(rate.Burst)/rate.PerSecond)))
	w.Header().Set("Retry-After", strconv.Itoa(int(wait)))
	operator.WriteProblem(w, operator.TooMany(r.URL.Path, fmt.Sprintf("%s has the limit of %g requests a second, and %d at once, used up",
		whose, rate.PerSecond, rate.Burst), fmt.Sprintf("wait %d s, and ask less often", wait), room.Wait))
	return false
}
