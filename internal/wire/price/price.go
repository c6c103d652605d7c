// Package price is what use costs by a price list.
//
// Owns: the form of a price list, money, the sum.
// In: a list that people wrote; rows of use.
// Out: costs, to a millionth of the currency's unit.
// Never: knows what was used, or whose list it is.
//
// History: 2026-11-29 version 1.
package price

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"

	"hardnode.dev/internal/wire/form"
	"hardnode.dev/internal/wire/operator"
)

// Money is an amount in millionths of a currency's unit. As text it is a decimal number with at most six places.
type Money int64

// Unit is one unit of the currency.
const Unit Money = 1_000_000

// Most is the highest price: sums of years don't overflow with it.
const Most = 1000 * Unit

var (
	decimal  = form.New(`^[0-9]{1,4}(\.[0-9]{1,6})?$`)
	currency = form.New(`^[A-Z]{3}$`)
)

// UnmarshalText reads an amount as 12 or 0.0021.
func (m *Money) UnmarshalText(text []byte) error {
	if !decimal.MatchString(string(text)) {
		return errors.New("want an amount such as 12 or 0.0021, with at most six places behind the point")
	}
	units, places, _ := strings.Cut(string(text), ".")
	n, err := strconv.ParseInt(units+(places + "000000")[:6], 10, 64)
	if err != nil {
		return err
	}
	*m = Money(n)
	return nil
}

// MarshalText is the amount with as many places as it needs.
func (m Money) MarshalText() ([]byte, error) { return []byte(m.String()), nil }

// String is the amount with at least two places.
func (m Money) String() string {
	sign := ""
	if m < 0 {
		sign, m = "-", -m
	}
	places := strings.TrimRight(fmt.Sprintf("%06d", m%Unit), "0")
	for len(places) < 2 {
		places += "0"
	}
	return fmt.Sprintf("%s%d.%s", sign, m/Unit, places)
}

// List is what a unit of each kind of use costs. What has no price costs nothing.
type List struct {
	Version  int    `json:"version" yaml:"version" required:"true"`   // 1
	Currency string `json:"currency" yaml:"currency" required:"true"` // ISO 4217, as EUR
	Reserved Money  `json:"reserved,omitempty" yaml:"reserved"`       // a cloudlet that is reserved for a node which runs, an hour
	Dynamic  Money  `json:"dynamic,omitempty" yaml:"dynamic"`         // a cloudlet that a node uses beyond those, an hour
	Disk     Money  `json:"disk,omitempty" yaml:"disk"`               // a GiB on disk, an hour
	Sent     Money  `json:"sent,omitempty" yaml:"sent"`               // a GiB that a node sends
	Received Money  `json:"received,omitempty" yaml:"received"`       // a GiB that a node receives
}

// Validate says what is wrong with a list, or nil. Each line of the error begins with the field.
func (l List) Validate() (err error) {
	if l.Version != 1 {
		err = fmt.Errorf("version: %d is not known, want 1", l.Version)
	}
	if !currency.MatchString(l.Currency) {
		err = errors.Join(err, fmt.Errorf("currency: %q: want three capital letters, such as EUR", l.Currency))
	}
	for _, p := range []struct {
		name string
		m    Money
	}{{"reserved", l.Reserved}, {"dynamic", l.Dynamic}, {"disk", l.Disk}, {"sent", l.Sent}, {"received", l.Received}} {
		if p.m < 0 || p.m > Most {
			err = errors.Join(err, fmt.Errorf("%s: %s: want 0 to %s", p.name, p.m, Most))
		}
	}
	return err
}

// Cost is what a row of use costs, by what for.
type Cost struct {
	Reserved Money `json:"reserved"`
	Dynamic  Money `json:"dynamic"`
	Disk     Money `json:"disk"`
	Traffic  Money `json:"traffic"`
	Total    Money `json:"total"`
}

// Of is what a row costs. The parts of what is no whole unit are rounded to a millionth.
func (l List) Of(r operator.UsageRow) Cost {
	const gib = 1 << 30
	part := func(price Money, units float64) Money { return Money(math.Round(float64(price) * units)) }
	c := Cost{Reserved: l.Reserved * Money(r.ReservedHours), Dynamic: l.Dynamic * Money(r.BeyondHours), Disk: part(l.Disk, r.DiskGiBHours),
		Traffic: part(l.Sent, float64(r.NetOut)/gib) + part(l.Received, float64(r.NetIn)/gib)}
	c.Total = c.Reserved + c.Dynamic + c.Disk + c.Traffic
	return c
}

// Add is both costs as one.
func (c Cost) Add(o Cost) Cost {
	return Cost{c.Reserved + o.Reserved, c.Dynamic + o.Dynamic, c.Disk + o.Disk, c.Traffic + o.Traffic, c.Total + o.Total}
}
