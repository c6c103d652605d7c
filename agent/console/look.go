package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"strings"
	"time"

	"hardnode.dev/agent/console/view"
	"hardnode.dev/internal/run/ask"
	"hardnode.dev/internal/wire/boot"
	"hardnode.dev/internal/wire/console"
)

// asked is who is asked about this host.
type asked struct{ agent, init *ask.Client }

// look asks the agent and init; either may be nil. of is the agent's path: an older agent says all of its status in any case.
func (h asked) look(ctx context.Context, of string) (a *boot.AgentStatus, i *boot.Status) {
	a, i = get[boot.AgentStatus](ctx, h.agent, of), get[boot.Status](ctx, h.init, statusPath)
	if a != nil && i != nil && i.Name != "" && a.Stage == boot.StageUnconfigured {
		configured(a, i.Name)
	}
	return a, i
}

// statusPath is that of a program's status.
const statusPath = "/v1/status"

func get[T any](ctx context.Context, c *ask.Client, path string) *T {
	v := new(T)
	if c.Get(ctx, path, v) != nil {
		return nil
	}
	return v
}

// overview is the document of the command status.
type overview struct {
	Agent *boot.AgentStatus `json:"agent,omitempty"` // absent while it is away
	Host  *console.Host     `json:"host,omitempty"`
	Init  *boot.Status      `json:"init,omitempty"`
}

// summary is the answer of the command status. While the agent is away, init is asked.
func (h asked) summary(ctx context.Context, width int) ([]string, any, error) {
	var o overview
	o.Agent, o.Init = h.look(ctx, statusPath)
	if o.Agent == nil && o.Init == nil {
		return nil, nil, &ask.Error{Text: "neither the agent nor init answers"}
	}
	var lines []string
	if o.Agent != nil {
		if m := new(console.Host); h.agent.Get(ctx, "/v1/host", m) == nil {
			o.Host = m
		}
		lines = view.Summary(*o.Agent, state(o.Agent), o.Host, width)
	} else {
		lines = append(lines, view.Wrapped("the agent does not answer: "+away(o.Init), width)...)
	}
	for _, l := range problems(o.Agent, o.Init) {
		lines = append(lines, view.Wrapped(strings.TrimPrefix(l, mark), width)...)
	}
	return lines, o, nil
}

// page is the summary as a screen has it, with the host's name and state for its head.
func (h asked) page(ctx context.Context, width int) (name string, lines []string, err error) {
	lines, doc, err := h.summary(ctx, width)
	if o, ok := doc.(overview); ok && o.Agent != nil {
		name = cmp.Or(o.Agent.Name, "unnamed") + ": " + state(o.Agent)
	}
	return name, lines, err
}

// quiet keeps init's and the kernel's lines off a terminal until undo is called, or this program dies. Without init there is nothing to
// undo.
func quiet(ctx context.Context, tty string) (undo func()) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	c, err := (&net.Dialer{}).DialContext(ctx, "unix", boot.InitSocket)
	if err != nil {
		return func() {}
	}
	body, err := json.Marshal(map[string]string{"tty": tty})
	if err != nil {
		panic("BUG: a name does not encode: " + err.Error())
	}
	c.SetDeadline(time.Now().Add(2 * time.Second))
	fmt.Fprintf(c, "POST /v1/quiet HTTP/1.1\r\nHost: init\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
	c.Read(make([]byte, 1)) // from its answer on it is quiet
	return func() { c.Close() }
}

// wanted are the terminals that init has found and given to this program; the kernel's own consoles while it does not say.
func wanted(i *boot.Status) []string {
	if i != nil && len(i.TTYs) > 0 {
		return i.TTYs
	}
	raw, err := os.ReadFile("/sys/class/tty/console/active")
	if err != nil {
		return nil
	}
	return strings.Fields(string(raw))
}
