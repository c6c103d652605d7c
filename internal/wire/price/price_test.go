package price

import (
	"strings"
	"testing"

	"hardnode.dev/internal/wire/operator"
)

func TestMoney(t *testing.T) {
	for text, want := range map[string]Money{"0": 0, "12": 12 * Unit, "0.0021": 2100, "1.5": 1_500_000, "0.000001": 1, "1000": Most} {
		var m Money
		if err := m.UnmarshalText([]byte(text)); err != nil || m != want {
			t.Errorf("%q: %d, %v", text, m, err)
		}
		var again Money
		if err := again.UnmarshalText([]byte(m.String())); err != nil || again != m {
			t.Errorf("%q is written %s: %v", text, m, err)
		}
	}
	for _, text := range []string{"", "-1", "1,5", "1e3", ".5", "5.", "0.0000001", "99999", "0x1", "1_000", " 1"} {
		var m Money
		if err := m.UnmarshalText([]byte(text)); err == nil || !strings.Contains(err.Error(), "want an amount such as") {
			t.Errorf("%q: %d, %v", text, m, err)
		}
	}
	for m, want := range map[Money]string{0: "0.00", 2100: "0.0021", Unit: "1.00", 12_340_000: "12.34", -1_500_000: "-1.50"} {
		if got := m.String(); got != want {
			t.Errorf("%d: %q, want %q", m, got, want)
		}
	}
}

func FuzzMoney(f *testing.F) {
	f.Add("0.0021")
	f.Fuzz(func(t *testing.T, text string) {
		var m, again Money
		if m.UnmarshalText([]byte(text)) == nil && (again.UnmarshalText([]byte(m.String())) != nil || again != m) {
			t.Errorf("%q is %d, written %s", text, m, m)
		}
	})
}

func TestValidate(t *testing.T) {
	good := List{Version: 1, Currency: "EUR", Reserved: 1, Dynamic: Most}
	if err := good.Validate(); err != nil {
		t.Error(err)
	}
	bad := List{Version: 2, Currency: "euro", Disk: Most + 1, Sent: -1}
	err := bad.Validate()
	for _, want := range []string{"version: 2", `currency: "euro"`, "disk: 1000.000001: want 0 to 1000.00", "sent: -0.000001"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q in it", err, want)
		}
	}
}

func TestCost(t *testing.T) {
	l := List{Version: 1, Currency: "EUR", Reserved: 2000, Dynamic: 3000, Disk: 100, Sent: 10_000, Received: 1}
	r := operator.UsageRow{CloudletHours: 11, ReservedHours: 4, BeyondHours: 8, DiskGiBHours: 2.5, NetOut: 3 << 30, NetIn: 1 << 29}
	want := Cost{Reserved: 8000, Dynamic: 24_000, Disk: 250, Traffic: 30_001, Total: 62_251}
	if got := l.Of(r); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if got := want.Add(want); got.Total != 2*want.Total || got.Disk != 500 || got.Dynamic != 48_000 {
		t.Errorf("twice: %+v", got)
	}
	if got := (List{}).Of(r); got != (Cost{}) {
		t.Errorf("without prices: %+v", got)
	}
	// The highest prices and a year of a large cluster fit.
	all := List{Reserved: Most, Dynamic: Most}.Of(operator.UsageRow{ReservedHours: 1e9, BeyondHours: 1e9})
	if all.Total != 2e9*Most || all.Total < 0 {
		t.Errorf("%+v", all)
	}
}
