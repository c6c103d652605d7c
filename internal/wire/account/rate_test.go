package account

import (
	"testing"

	"hardnode.dev/internal/wire"
)

func TestRatesOf(t *testing.T) {
	slow := APIRate{2, 5}
	for _, c := range []struct {
		name  string
		group APIRates
		want  APIRates
	}{
		{"acme", APIRates{}, Rates},
		{"acme", APIRates{Token: slow}, APIRates{slow, Rates.Account}},
		{"acme", APIRates{Account: slow}, APIRates{Rates.Token, slow}},
		{"admin", APIRates{Token: slow, Account: slow}, AdminRates}, // nobody shuts those out who run the cluster
		{"", APIRates{Token: slow}, AdminRates},
	} {
		if got := RatesOf(wire.Account(c.name), c.group); got != c.want {
			t.Errorf("%q with %v: %v, want %v", c.name, c.group, got, c.want)
		}
	}
	for _, c := range []struct{ rate, most, want APIRate }{
		{APIRate{}, slow, slow}, {APIRate{1, 3}, slow, APIRate{1, 3}}, {APIRate{9, 3}, slow, APIRate{2, 3}},
		{APIRate{9, 9}, slow, slow},
	} {
		if got := c.rate.Bound(c.most); got != c.want {
			t.Errorf("%v of at most %v is %v, want %v", c.rate, c.most, got, c.want)
		}
	}
	for _, c := range []struct {
		rates APIRates
		ok    bool
	}{
		{APIRates{}, true}, {APIRates{Token: APIRate{1, 1}, Account: APIRate{MostPerSecond, MostBurst}}, true},
		{APIRates{Token: APIRate{0, 1}}, false}, {APIRates{Token: APIRate{1, 0}}, false},
		{APIRates{Account: APIRate{MostPerSecond + 1, 1}}, false}, {APIRates{Account: APIRate{1, MostBurst + 1}}, false},
		{APIRates{Account: APIRate{-1, 1}}, false},
	} {
		if err := c.rates.Validate(); (err == nil) != c.ok {
			t.Errorf("%v: %v", c.rates, err)
		}
	}
}

func TestParseAPIRate(t *testing.T) {
	for s, want := range map[string]APIRate{"20/300": {20, 300}, "1/1": {1, 1}, "": {}, "20": {}, "20/": {}, "/300": {}, "x/1": {},
		"0/1": {}, "1/0": {}, "1001/1": {}, "1/10001": {}, "1/2/3": {}} {
		got, err := ParseAPIRate(s)
		if (err == nil) != (want != APIRate{}) || err == nil && (got != want || got.Short() != s) {
			t.Errorf("%q: %v, %v", s, got, err)
		}
	}
}
