package facts

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/u-root/u-root/pkg/ipmi"

	"hardnode.dev/internal/wire/console"
)

// mostSensors bounds what is told of a machine with many.
const mostSensors = 48

// Sensors are the machine's temperatures, fans and powers, as the kernel's drivers have them (hwmon: sysfs-interface.rst).
func (s Source) Sensors() (out []console.Sensor) {
	dirs, _ := filepath.Glob(s.Root + "/sys/class/hwmon/hwmon*") // the pattern is a good one
	slices.Sort(dirs)
	for _, dir := range dirs {
		inputs, _ := filepath.Glob(dir + "/*_input")
		slices.Sort(inputs)
		at := strings.TrimPrefix(dir, s.Root)
		for _, input := range inputs {
			which := strings.TrimSuffix(filepath.Base(input), "_input")
			n, err := strconv.ParseInt(s.line(at+"/"+which+"_input"), 10, 64)
			value := reading(which, n)
			if err != nil || value == "" {
				continue
			}
			name := s.line(at + "/name")
			if label := s.line(at + "/" + which + "_label"); label != "" {
				which = label
			}
			if out = append(out, console.Sensor{Name: strings.TrimSpace(name + " " + which), Value: value}); len(out) == mostSensors {
				return out
			}
		}
	}
	return out
}

// reading is what a sensor says for people; "" of a kind that is not told.
func reading(which string, n int64) string {
	switch strings.TrimRight(which, "0123456789") {
	case "temp":
		return fmt.Sprintf("%.1f C", float64(n)/1000)
	case "fan":
		return fmt.Sprintf("%d rpm", n)
	case "power":
		return fmt.Sprintf("%.1f W", float64(n)/1e6)
	}
	return ""
}

// BMCDevice is where the kernel gives the machine's BMC to programs (ipmi_devintf).
const BMCDevice = "/dev/ipmi0"

// BMC is the address of the machine's BMC, if it has one; an error says what it did not answer.
func (s Source) BMC() (addr netip.Addr, err error) {
	bmc, err := ipmi.OpenPath(s.Root + BMCDevice)
	if errors.Is(err, os.ErrNotExist) {
		return addr, nil
	}
	if err != nil {
		return addr, fmt.Errorf("ask the BMC: %v", err)
	}
	defer bmc.Close()
	return lanAddress(bmc.GetLanConfig)
}

// The parameter of a LAN configuration that is asked for, and the channels that a LAN may be on (IPMI 2.0, tables 6-1 and 23-4).
const (
	lanIP         = 3
	mostChannels  = 11
	lanAddressEnd = 6 // a completion code, a revision, four bytes of IPv4
)

// lanAddress asks one channel after the other for an address; many BMCs have more than one LAN, and use one.
func lanAddress(ask func(channel, param byte) ([]byte, error)) (netip.Addr, error) {
	var last error
	for channel := byte(1); channel <= mostChannels; channel++ {
		raw, err := ask(channel, lanIP)
		var refused ipmi.CompletionError
		switch {
		case errors.As(err, &refused):
			last = fmt.Errorf("ask the BMC for the address of its LAN: %v", err) // no LAN on this channel, or it knows none
		case err != nil:
			return netip.Addr{}, fmt.Errorf("ask the BMC for the address of its LAN: %v", err)
		case len(raw) >= lanAddressEnd:
			if a := netip.AddrFrom4([4]byte(raw[2:lanAddressEnd])); !a.IsUnspecified() {
				return a, nil
			}
			last = errors.New("the BMC has no address on its LAN")
		}
	}
	return netip.Addr{}, last
}
