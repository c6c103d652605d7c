package panel

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/a-h/templ"

	"hardnode.dev/internal/wire/operator"
)

// tone is the colour a state is shown in. The word itself always stands beside it.
func tone(state string) string {
	switch state {
	case "ACTIVE", "running", "done":
		return "good"
	case "UNREACHABLE", "FENCED", "BROKEN", "EVACUATION_FAILED", "broken", "failing", "failed":
		return "bad"
	case "unknown", "cancelled", "MAINTENANCE":
		return "warn"
	case "down", "stopped", "sleeping", "EVACUATED", "pending":
		return "off"
	}
	return "busy"
}

// workTone is tone for work: what runs is not done yet.
func workTone(s operator.OperationState) string {
	if s == operator.OpRunning {
		return "busy"
	}
	return tone(string(s))
}

// asset is the address of a file of ours; it changes with the file, so that browsers never mix versions.
func asset(name string) string {
	raw, err := files.ReadFile("assets/" + name)
	if err != nil {
		panic("BUG: no asset " + name)
	}
	sum := sha256.Sum256(raw)
	return "/panel/assets/" + name + "?v=" + hex.EncodeToString(sum[:4])
}

func dash(s string) string { return cmp.Or(s, "–") }

func total(counts map[string]int) (n int) {
	for _, some := range counts {
		n += some
	}
	return n
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

func mib(n int64) string {
	if n >= 10<<10 {
		return fmt.Sprintf("%d GiB", (n+512)>>10)
	}
	if n >= 1<<10 {
		return fmt.Sprintf("%.1f GiB", float64(n)/1024)
	}
	return fmt.Sprintf("%d MiB", n)
}

func mhz(n int64) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprintf(", %.1f GHz", float64(n)/1000)
}

// uptime is rounded down, coarser the longer it is.
func uptime(sec int64) string {
	d := time.Duration(sec) * time.Second
	switch {
	case d < time.Minute:
		return "< 1 min"
	case d < time.Hour:
		return fmt.Sprintf("%d min", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h", int(d.Hours()))
	}
	return fmt.Sprintf("%d days", int(d.Hours()/24))
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// title is a node's first word: its component, or its layer.
func title(n operator.Node) string { return cmp.Or(n.Component, string(n.Layer)) }

func hostURL(name string) templ.SafeURL { return templ.SafeURL("/panel/hosts/" + url.PathEscape(name)) }
func envURL(name string) templ.SafeURL {
	return templ.SafeURL("/panel/environments/" + url.PathEscape(name))
}
func opURL(id string) templ.SafeURL { return templ.SafeURL("/panel/operations/" + url.PathEscape(id)) }

// environmentOf is the environment an operation works on.
func environmentOf(o operator.Operation) (string, bool) {
	return strings.CutPrefix(o.Object, "environments/")
}

// hostOf is the host an operation works on.
func hostOf(o operator.Operation) (string, bool) { return strings.CutPrefix(o.Object, "hosts/") }

// leaving is what a host was ordered, as a badge.
func leaving(l *operator.HostLeave) string {
	if l.Until.IsZero() {
		return "SWITCHED OFF"
	}
	return "REBOOTING"
}

// object is what an operation works on, in short.
func object(o operator.Operation) string { return strings.TrimPrefix(o.Object, "environments/") }

// sentence begins s with a capital and ends it with a full stop.
func sentence(s string) string {
	if s == "" {
		return s
	}
	return strings.ToUpper(s[:1]) + strings.TrimSuffix(s[1:], ".") + "."
}
