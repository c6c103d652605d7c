package facts

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/u-root/u-root/pkg/ipmi"
)

// TestSensors: temperatures, fans and powers by their labels; what is no number, and other kinds, are left out.
func TestSensors(t *testing.T) {
	root := t.TempDir()
	for path, text := range map[string]string{"hwmon0/name": "coretemp\n", "hwmon0/temp1_input": "54500\n",
		"hwmon0/temp1_label": "Core 0\n", "hwmon0/temp2_input": "broken", "hwmon1/name": "bmc",
		"hwmon1/fan1_input": "2300", "hwmon1/power1_input": "120500000",
		"hwmon1/in0_input": "1200"} {
		at := filepath.Join(root, "sys/class/hwmon", path)
		if err := errors.Join(os.MkdirAll(filepath.Dir(at), 0o755), os.WriteFile(at, []byte(text), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	s := Source{Root: root}
	if got, want := fmt.Sprint(s.Sensors()), "[{coretemp Core 0 54.5 C} {bmc fan1 2300 rpm} {bmc power1 120.5 W}]"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	for n := range 2 * mostSensors {
		at := filepath.Join(root, fmt.Sprintf("sys/class/hwmon/hwmon0/temp%d_input", 100+n))
		if err := os.WriteFile(at, []byte("1000"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(s.Sensors()); n != mostSensors {
		t.Errorf("%d sensors are told", n)
	}
	if a, err := s.BMC(); a.IsValid() || err != nil {
		t.Errorf("a machine without a BMC: %s, %v", a, err)
	}
}

// TestLanAddress: the first channel with an address counts; refusals and empty ones are passed over, a BMC that does not answer is not
// asked eleven times.
func TestLanAddress(t *testing.T) {
	ip := func(last byte) []byte { return []byte{0, 0x11, 10, 0, 0, last} }
	none := []byte{0, 0x11, 0, 0, 0, 0}
	for _, c := range []struct {
		name    string
		answers []any // of channel 1, 2, …; the rest refuse
		want    string
		asked   int
		err     string
	}{
		{"the first", []any{ip(5)}, "10.0.0.5", 1, ""},
		{"the third", []any{ipmi.CompletionError(0xcc), none, ip(6)}, "10.0.0.6", 3, ""},
		{"none has one", []any{none}, "invalid IP", 11, "LAN"},
		{"all refuse", nil, "invalid IP", 11, "LAN"},
		{"cut", []any{[]byte{0, 0x11, 10}, ip(7)}, "10.0.0.7", 2, ""},
		{"away", []any{errors.New("i/o timeout"), ip(8)}, "invalid IP", 1, "i/o timeout"},
	} {
		asked := 0
		got, err := lanAddress(func(channel, param byte) ([]byte, error) {
			if asked++; int(channel) != asked || param != lanIP {
				t.Errorf("%s: asked for parameter %d of channel %d", c.name, param, channel)
			}
			if asked > len(c.answers) {
				return nil, ipmi.CompletionError(0xcc)
			}
			if err, ok := c.answers[asked-1].(error); ok {
				return nil, err
			}
			return c.answers[asked-1].([]byte), nil
		})
		if got.String() != c.want || asked != c.asked || (err == nil) != (c.err == "") ||
			err != nil && !strings.Contains(err.Error(), c.err) {
			t.Errorf("%s: got %s, %v after %d questions", c.name, got, err, asked)
		}
	}
}
