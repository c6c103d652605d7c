// Package metering is how the component metering and the orchestrator ask each other: mutual TLS 1.3, JSON.
//
// Owns: the port, the paths, what is asked; the records of use are those of wire/usage, the rows that are answered those of wire/operator.
// In: documents of neighbouring versions.
// Out: checked values.
// Never: does I/O.
//
// History: 2026-11-29 first form.
package metering

import (
	"fmt"
	"time"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/operator"
)

// Component is metering's name among the components, and Port where it listens.
const (
	Component = "metering"
	Port      = "7450"
)

// What metering asks of the orchestrator, at the host API: GET PathHosts → Hosts; POST PathHosts + "/" + a host's id, usage.Ask →
// usage.Answer, of that host.
const PathHosts = "/v1/metering/hosts"

// PathUsage is what the orchestrator asks of metering: POST Question → operator.Usage.
const PathUsage = "/metering/v1/usage"

// Hosts are those of the cluster.
type Hosts struct {
	Hosts []Host `json:"hosts"`
}

// Host is one whose records are read.
type Host struct {
	ID   wire.HostID `json:"id"`
	Name string      `json:"name"`
}

// MostDays is how many days a question is about at most, and for how many metering keeps what was used.
const MostDays = 366

// Question asks what was used. Who asks may see all that it is about: the orchestrator has seen to that.
type Question struct {
	From int64          `json:"from"` // Unix seconds, the begin of an hour
	To   int64          `json:"to"`   // likewise; that hour is not in it
	Step operator.Span  `json:"step"`
	By   operator.Whole `json:"by"`
	// Of these alone; "", none and 0 are all.
	Account wire.Account   `json:"account,omitempty"`
	Envs    []wire.EnvName `json:"envs,omitempty"`
	Host    wire.HostID    `json:"host,omitempty"`
	Node    wire.CTID      `json:"node,omitempty"`
}

// Validate says what is wrong with a question, or nil.
func (q Question) Validate() error {
	hour := int64(time.Hour / time.Second)
	switch {
	case q.From < 0 || q.From%hour != 0 || q.To%hour != 0:
		return fmt.Errorf("from %d to %d: want begins of hours", q.From, q.To)
	case q.To <= q.From:
		return fmt.Errorf("to %s: want a time after %s", stamp(q.To), stamp(q.From))
	case q.To-q.From > MostDays*24*hour:
		return fmt.Errorf("from %s to %s: want %d days at most", stamp(q.From), stamp(q.To), MostDays)
	case !q.Step.Known():
		return fmt.Errorf("step %q: want %s", q.Step, operator.Spans)
	case !q.By.Known():
		return fmt.Errorf("by %q: want %s", q.By, operator.Wholes)
	case q.Node < 0:
		return fmt.Errorf("node %d: want a number from 1 on", q.Node)
	}
	return nil
}

func stamp(unix int64) string { return time.Unix(unix, 0).UTC().Format(time.RFC3339) }
