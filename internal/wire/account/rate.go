package account

import (
	"fmt"
	"strconv"
	"strings"

	"hardnode.dev/internal/wire"
)

// APIRate is how often something may ask the API. The zero value says nothing.
type APIRate struct {
	PerSecond int `json:"perSecond" minimum:"1" maximum:"1000" doc:"Requests a second, as long as one asks"`
	Burst     int `json:"burst" minimum:"1" maximum:"10000" doc:"Requests at once, after a pause"`
}

// The highest rate that can be set.
const (
	MostPerSecond = 1000
	MostBurst     = 10000
)

// APIRates are how often those of one account may ask the API.
type APIRates struct {
	Token   APIRate `json:"token,omitzero" doc:"Each token, and each session"`
	Account APIRate `json:"account,omitzero" doc:"All tokens and sessions of one account together"`
}

// Rates is what is in force where a group says nothing; AdminRates are those of who runs the cluster, whose tools follow all of it.
var (
	Rates      = APIRates{Token: APIRate{20, 300}, Account: APIRate{60, 900}}
	AdminRates = APIRates{Token: APIRate{200, 2000}, Account: APIRate{600, 6000}}
)

// RatesOf are the rates in force of an account, by what its group says.
func RatesOf(name wire.Account, group APIRates) APIRates {
	if name.Owner() == wire.AdminAccount {
		return AdminRates
	}
	out := group
	if out.Token == (APIRate{}) {
		out.Token = Rates.Token
	}
	if out.Account == (APIRate{}) {
		out.Account = Rates.Account
	}
	return out
}

// Bound is r, but no more than most in either. A zero r is most.
func (r APIRate) Bound(most APIRate) APIRate {
	if r == (APIRate{}) {
		return most
	}
	return APIRate{min(r.PerSecond, most.PerSecond), min(r.Burst, most.Burst)}
}

// String is the rate as people read it.
func (r APIRate) String() string {
	return fmt.Sprintf("%d requests a second, and %d at once", r.PerSecond, r.Burst)
}

// Short is the rate as ParseAPIRate reads it.
func (r APIRate) Short() string {
	if r == (APIRate{}) {
		return ""
	}
	return fmt.Sprintf("%d/%d", r.PerSecond, r.Burst)
}

// ParseAPIRate reads PER-SECOND/AT-ONCE.
func ParseAPIRate(s string) (r APIRate, err error) {
	second, once, ok := strings.Cut(s, "/")
	if ok {
		if r.PerSecond, err = strconv.Atoi(second); err == nil {
			r.Burst, err = strconv.Atoi(once)
		}
	}
	if !ok || err != nil {
		return APIRate{}, fmt.Errorf("rate %q: want how many requests a second and how many at once, such as 20/300", s)
	}
	return r, r.Validate("rate")
}

// Validate says why r can't be set, or nil; field is its name.
func (r APIRate) Validate(field string) error {
	if r.PerSecond < 1 || r.PerSecond > MostPerSecond || r.Burst < 1 || r.Burst > MostBurst {
		return fmt.Errorf("%s: %s; want 1 to %d a second, and 1 to %d at once", field, r, MostPerSecond, MostBurst)
	}
	return nil
}

// Validate says why r can't be a group's, or nil.
func (r APIRates) Validate() error {
	for _, x := range []struct {
		field string
		rate  APIRate
	}{{"rates.token", r.Token}, {"rates.account", r.Account}} {
		if x.rate == (APIRate{}) {
			continue
		}
		if err := x.rate.Validate(x.field); err != nil {
			return err
		}
	}
	return nil
}
