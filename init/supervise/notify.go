package supervise

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// message is one sd_notify datagram (sd_notify(3)): lines KEY=VALUE. Unknown keys are ignored, as systemd does.
type message struct {
	Ready, Stopping bool
	Beat            bool          // WATCHDOG=1
	Trigger         bool          // WATCHDOG=trigger: the service asks to be killed
	Interval        time.Duration // WATCHDOG_USEC; 0: not said
	Extend          time.Duration // EXTEND_TIMEOUT_USEC: it needs so long from now on; 0: not said
	Status          string
	Store           bool // FDSTORE=1
	Remove          bool // FDSTOREREMOVE=1
	FDName          string
}

// maxMessage is the longest datagram taken, in bytes.
const maxMessage = 4096

// parse reads a datagram. An error names the line and the rule.
func parse(text string) (message, error) {
	m := message{FDName: "stored"}
	if len(text) > maxMessage {
		return m, fmt.Errorf("read notification: %d bytes, at most %d are allowed", len(text), maxMessage)
	}
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\n")
		if line == "" {
			continue
		}
		key, value, ok := strings.Cut(line, "=")
		if !ok {
			return m, fmt.Errorf("read notification line %q: want KEY=VALUE", line)
		}
		switch key {
		case "READY":
			m.Ready = value == "1"
		case "STOPPING":
			m.Stopping = value == "1"
		case "WATCHDOG":
			m.Beat, m.Trigger = value == "1", value == "trigger"
		case "WATCHDOG_USEC":
			n, err := strconv.ParseInt(value, 10, 64)
			if err != nil || n < 1000 || n > int64(time.Hour/time.Microsecond) {
				return m, fmt.Errorf("read notification line %q: want 1000 to 3600000000 microseconds", line)
			}
			m.Interval = time.Duration(n) * time.Microsecond
		case "EXTEND_TIMEOUT_USEC":
			n, err := strconv.ParseInt(value, 10, 64)
			if err != nil || n < 1 || n > int64(time.Hour/time.Microsecond) {
				return m, fmt.Errorf("read notification line %q: want 1 to 3600000000 microseconds", line)
			}
			m.Extend = time.Duration(n) * time.Microsecond
		case "STATUS":
			m.Status = printable(value)
		case "FDSTORE":
			m.Store = value == "1"
		case "FDSTOREREMOVE":
			m.Remove = value == "1"
		case "FDNAME":
			if !validFDName(value) {
				return m, fmt.Errorf("read notification line %q: want 1 to 255 printable characters without a colon", line)
			}
			m.FDName = value
		}
	}
	return m, nil
}

// validFDName is sd_notify's rule: printable ASCII, no colon, at most 255 characters.
func validFDName(s string) bool {
	if s == "" || len(s) > 255 {
		return false
	}
	for _, r := range s {
		if r < ' ' || r > '~' || r == ':' {
			return false
		}
	}
	return true
}

// printable keeps control characters of a service's words off the console.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return -1
		}
		return r
	}, s)
}
