// Package view puts what is known of a host into lines for a terminal.
//
// Owns: the words and the order of the pages: summary, network, storage, containers, slots.
// In: documents of the agent, and the width of the terminal; 0: as wide as it takes.
// Out: lines of printable ASCII.
// Never: asks for anything, or reads a clock.
package view

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"hardnode.dev/internal/logging/plain"
	"hardnode.dev/internal/wire/boot"
	"hardnode.dev/internal/wire/console"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/install"
	"hardnode.dev/internal/wire/slots"
	"hardnode.dev/internal/wire/storage"
	"hardnode.dev/internal/wire/upkeep"
)

// label is how wide the names of fields are.
const label = 14

// sheet is a page that is being written.
type sheet struct {
	width int
	lines []string
}

// field writes a name and what it has; nothing when it has nothing.
func (s *sheet) field(name, text string) {
	if text == "" {
		return
	}
	width := 0
	if s.width > 0 {
		width = max(10, s.width-label)
	}
	for n, l := range plain.Wrap(text, width) {
		if n > 0 {
			name = ""
		}
		s.lines = append(s.lines, strings.TrimRight(fmt.Sprintf("%-*s%s", label, name, l), " "))
	}
}

// row writes a line of a table.
func (s *sheet) row(format string, args ...any) {
	text := strings.TrimRight(plain.Line(fmt.Sprintf(format, args...)), " ")
	if s.width > 0 {
		text = plain.Clip(text, s.width)
	}
	s.lines = append(s.lines, text)
}

// more writes a text below a row.
func (s *sheet) more(text string) {
	width := 0
	if s.width > 0 {
		width = max(10, s.width-4)
	}
	for _, l := range plain.Wrap(text, width) {
		s.lines = append(s.lines, "    "+l)
	}
}

func (s *sheet) gap() { s.lines = append(s.lines, "") }

func (s *sheet) problems(ps []host.Problem) {
	for _, p := range ps {
		text := p.Object + ": " + p.Reason
		if p.Next != "" {
			text += " -> " + p.Next
		}
		s.field("problem", text)
	}
}

// Summary is the host at a glance. State is how its state is called; h is nil while it is not known.
func Summary(a boot.AgentStatus, state string, h *console.Host, width int) []string {
	s := &sheet{width: width}
	name := cmp.Or(a.Name, "unnamed")
	if a.Host != "" {
		name += " (" + string(a.Host) + ")"
	}
	s.field("host", name)
	s.field("state", state)
	if a.Code != "" && !a.Linked {
		s.field("short code", a.Code)
	}
	s.field("unlicensed", a.Unlicensed)
	s.field("cluster", string(a.Cluster))
	s.field("role", string(a.Role))
	s.field("orchestrator", a.Link)
	s.field("addresses", cmp.Or(strings.Join(a.Addresses, " "), "none"))
	s.field("version", a.Version)
	s.release(a.System)
	s.field("containers", Count(a))
	if h != nil {
		s.field("processors", fmt.Sprintf("%d at %d MHz, load %.2f", h.Capacity.CPUs, h.Capacity.MHz, h.Load.Load1))
		s.field("memory", used(h.Load.MemoryUsed, h.Capacity.MemoryBytes))
		if h.Protection != nil {
			s.field("protection", h.Protection.String())
		}
		s.field("BMC", h.BMC)
		s.field("sensors", Sensors(h.Sensors))
		s.field("up", (time.Duration(h.Load.UptimeSec) * time.Second).String())
		for n, b := range h.Boots[:min(3, len(h.Boots))] {
			s.field(map[bool]string{true: "booted", false: "before"}[n == 0], cause(b))
		}
	}
	s.problems(a.Problems)
	return s.lines
}

// Sensors are all of them in one text.
func Sensors(all []console.Sensor) string {
	var out []string
	for _, x := range all {
		out = append(out, x.Name+" "+x.Value)
	}
	return strings.Join(out, ", ")
}

// Wrapped is a problem without a name of its own.
func Wrapped(text string, width int) []string {
	s := &sheet{width: width}
	s.field("problem", text)
	return s.lines
}

// cause is a boot and why it came.
func cause(b upkeep.Boot) string {
	out := b.At.UTC().Format("2006-01-02 15:04:05Z") + " " + string(b.Cause)
	if b.Reason != "" {
		out += ": " + b.Reason
	}
	if b.By != "" {
		out += " (ordered by " + b.By + ")"
	}
	return out
}

// Activation is how far a host has come on its way into a cluster, and what is next.
func Activation(a boot.AgentStatus, configured bool, width int) []string {
	s := &sheet{width: width}
	s.field("short code", cmp.Or(a.Code, "none before there is a configuration"))
	s.field("stage", string(a.Stage))
	s.field("cluster", string(a.Cluster))
	s.gap()
	next := "This host is in its cluster; there is nothing to activate."
	switch {
	case !configured:
		next = "This host has no configuration. On a machine that has its file: hnctl host config line FILE; " +
			"paste the line here, or behind the command activate."
	case a.Link == boot.LinkWaiting:
		next = "It waits to be admitted: compare the code with hnctl host waiting, then hnctl host admit CODE."
	case a.Stage != boot.StageJoined:
		next = "It has a configuration and joins; its problems are on the summary."
	}
	for _, l := range plain.Wrap(next, width) {
		s.row("%s", l)
	}
	return s.lines
}

// Count says how many containers are in which state.
func Count(a boot.AgentStatus) string {
	n := a.Counts
	if len(n) == 0 {
		n = boot.CountStates(a.Containers)
	}
	if len(n) == 0 {
		return "none"
	}
	var out []string
	for _, s := range []host.ContainerState{host.CtRunning, host.CtStarting, host.CtWaiting, host.CtFailing, host.CtBroken, host.CtStopping,
		host.CtStopped} {
		if n[s] > 0 {
			out = append(out, fmt.Sprintf("%d %s", n[s], s))
		}
	}
	return strings.Join(out, ", ")
}

// Size is a number of bytes for people.
func Size(n int64) string {
	switch {
	case n >= 10<<30:
		return fmt.Sprintf("%d GiB", n>>30)
	case n >= 1<<20:
		return fmt.Sprintf("%d MiB", n>>20)
	}
	return fmt.Sprintf("%d KiB", n>>10)
}

func used(n, of int64) string { return Size(n) + " of " + Size(of) + " used" }

// Network is the links.
func Network(n console.Network, width int) []string {
	s := &sheet{width: width}
	s.row("%-12s %-18s %-5s %s", "LINK", "MAC", "STATE", "ADDRESSES")
	for _, l := range n.Links {
		var addrs []string
		for _, a := range l.Addresses {
			addrs = append(addrs, a.String())
		}
		s.row("%-12s %-18s %-5s %s", cmp.Or(l.Name, "-"), cmp.Or(l.MAC, "-"), map[bool]string{true: "up", false: "down"}[l.Up],
			cmp.Or(strings.Join(addrs, " "), "none"))
		if l.Underlay {
			s.more("other hosts use its first address")
		}
		if l.State != "" {
			s.more(l.State)
		}
		if l.Problem != "" {
			s.more("! " + l.Problem)
		}
	}
	s.gap()
	s.lines = append(s.lines, InForce(n.NetworkStatus, width)...)
	return s.lines
}

// InForce is which network is configured, and which is on trial.
func InForce(n boot.NetworkStatus, width int) []string {
	s := &sheet{width: width}
	s.configured("configured", n.Confirmed)
	if n.Kept {
		s.field("", "it was confirmed at this host, and stands in place of the configuration's")
	}
	if n.Trial != nil {
		s.configured("on trial", n.Trial.Network)
		s.field("", fmt.Sprintf("for %d s more, then the one before is back: network confirm, or network revert", n.Trial.Seconds))
	}
	return s.lines
}

func (s *sheet) configured(name string, n boot.Network) {
	if len(n.Links) == 0 {
		s.field(name, "no links: every card uses DHCP")
	}
	for _, l := range n.Links {
		s.field(name, Link(l))
	}
	s.field("time from", strings.Join(n.NTP, " "))
}

// Link is a link of a configuration in one line, as `network try` takes it.
func Link(l boot.Link) string {
	parts := []string{l.Name}
	switch {
	case l.Bond != nil:
		parts = append(parts, fmt.Sprintf("bond=%s:%s", l.Bond.Mode, strings.Join(l.Bond.Links, ",")))
		if l.Bond.Primary != "" {
			parts = append(parts, "primary="+l.Bond.Primary)
		}
	case l.VLAN != nil:
		parts = append(parts, fmt.Sprintf("vlan=%d@%s", l.VLAN.ID, l.VLAN.Link))
	default:
		parts = append(parts, cmp.Or(l.MAC, l.PCI))
	}
	if l.DHCP {
		parts = append(parts, "dhcp")
	}
	for _, a := range l.Addresses {
		parts = append(parts, a.String())
	}
	if l.Gateway.IsValid() {
		parts = append(parts, "gateway="+l.Gateway.String())
	}
	for _, r := range l.Routes {
		parts = append(parts, fmt.Sprintf("route=%s@%s", r.To, r.Via))
	}
	for _, d := range l.DNS {
		parts = append(parts, "dns="+d.String())
	}
	if l.MTU != 0 {
		parts = append(parts, fmt.Sprintf("mtu=%d", l.MTU))
	}
	return strings.Join(parts, " ")
}

// diskColumns is how wide a disk's row is before what it holds.
const diskColumns = 59

// Storage is DATA and the disks.
func Storage(h console.Host, i install.Status, d storage.Status, width int) []string {
	s := &sheet{width: width}
	data := "none before there is a configuration"
	if h.Configured {
		data = used(h.Load.DiskUsed, h.Capacity.DiskBytes)
	}
	s.field("DATA", data)
	s.field("waiting", fmt.Sprintf("%.0f %% of the last ten seconds for a disk", h.Load.Pressure.IO))
	s.field("installation", string(i.State))
	if i.Plan != nil && i.Step > 0 && i.Step <= len(i.Plan.Steps) {
		s.field("", fmt.Sprintf("%d of %d: %s", i.Step, len(i.Plan.Steps), i.Plan.Steps[i.Step-1]))
	}
	s.field("reason", i.Reason)
	s.disks(d)
	s.gap()
	if len(i.Disks) == 0 {
		s.row("no disks are known")
		return s.lines
	}
	s.row("%-14s %-9s %-8s %-24s %s", "DISK", "SIZE", "BY", "MODEL", "HOLDS")
	for _, d := range i.Disks {
		holds, below := d.Holds, "" // who is about to lose it sees all of it
		if width > 0 && diskColumns+len(holds) > width {
			holds, below = "see below", "holds "+holds
		}
		s.row("%-14s %-9s %-8s %-24s %s", d.Path, Size(d.Bytes), cmp.Or(d.Transport, "-"), cmp.Or(plain.Clip(d.Model, 24), "-"), holds)
		if below != "" {
			s.more(below)
		}
		if d.Refused != "" {
			s.more("can't be installed to: " + d.Refused)
		}
	}
	return s.lines
}

// Disks is how the disks are that the host lies on.
func Disks(d storage.Status, width int) []string {
	s := &sheet{width: width}
	s.disks(d)
	for n, step := range d.Steps {
		s.field(map[bool]string{true: "steps"}[n == 0], fmt.Sprintf("%d. %s", n+1, step))
	}
	return s.lines
}

// disks says nothing of a host that lies on one disk, or on none: there is nothing to be done about that.
func (s *sheet) disks(d storage.Status) {
	if d.State == storage.None || d.State == storage.Single {
		return
	}
	s.field("mirror", d.Line())
	for _, x := range d.Disks {
		s.field("", strings.Join(slices.DeleteFunc([]string{cmp.Or(x.Path, "a disk"), x.Serial, string(x.Use), x.Reason},
			func(t string) bool { return t == "" }), " "))
	}
	s.field("systems", d.Systems)
	s.field("failed", d.Failed)
}

// Release says how far another release is on its way onto the host; "" when none is.
func Release(s *host.SystemStatus) string {
	switch {
	case s == nil, s.State == host.SystemIdle, s.State == host.SystemDone:
		return ""
	case s.State == host.SystemFetching && s.Total > 0:
		return fmt.Sprintf("fetching release %s: %d of %d MiB", s.Target, s.Bytes>>20, s.Total>>20)
	case s.State == host.SystemSwitching && s.Reason != "":
		return fmt.Sprintf("switching to release %s: %s", s.Target, s.Reason)
	case s.State == host.SystemTrying:
		return "trying release " + cmp.Or(s.Target, s.Release) + ": waits for " + cmp.Or(strings.Join(s.Waits, ", "), "its slots")
	}
	return strings.TrimSpace(fmt.Sprintf("release %s: %s", s.Target, s.State))
}

// bar is how wide a whole progress bar is.
const bar = 40

// release is how far another release is, and how much of it is here.
func (s *sheet) release(x *host.SystemStatus) {
	s.field("update", Release(x))
	if x != nil && x.State == host.SystemFetching && x.Total > 0 {
		done := int(min(x.Bytes, x.Total) * bar / x.Total)
		s.field("", fmt.Sprintf("[%s%s] %d %%", strings.Repeat("#", done), strings.Repeat(".", bar-done),
			100*min(x.Bytes, x.Total)/x.Total))
	}
}

// Update is that, and why it is not further.
func Update(x *host.SystemStatus, width int) []string {
	s := &sheet{width: width}
	s.release(x)
	if x != nil && (x.State == host.SystemFailed || x.State == host.SystemRefused) {
		s.field("because", x.Reason)
	}
	return s.lines
}

// Plan is what an installation would do.
func Plan(i install.Status, width int) []string {
	s := &sheet{width: width}
	s.field("installation", string(i.State))
	s.field("reason", i.Reason)
	if p := i.Plan; p != nil {
		for _, t := range p.Targets() {
			s.field("disk", strings.Join([]string{t.Disk.Path, Size(t.Disk.Bytes), t.Disk.Model, t.Disk.Serial}, " "))
			s.field("is lost", t.Wipes)
		}
		s.field("system from", p.Source)
		for n, step := range p.Steps {
			s.field(map[bool]string{true: "steps"}[n == 0], fmt.Sprintf("%d. %s", n+1, step))
		}
	}
	return s.lines
}

// Containers is the table of containers.
func Containers(cs []console.Container, width int) []string {
	s := &sheet{width: width}
	if len(cs) == 0 {
		s.row("no containers")
		return s.lines
	}
	s.row("%-7s %-9s %-26s %-9s %-8s %s", "ID", "STATE", "NODE", "MEMORY", "STARTS", "IMAGE")
	for _, c := range cs {
		s.row("%-7s %-9s %-26s %-9s %-8d %s", c.CTID, c.State, plain.Clip(Node(c), 26), Size(c.MemoryBytes), c.Restarts+1, c.Image)
		if c.Reason != "" {
			s.more(c.Reason)
		}
	}
	return s.lines
}

// Node is a container's name for people.
func Node(c console.Container) string {
	if c.Component != "" {
		return c.Component
	}
	return strings.Trim(c.Env+"/"+cmp.Or(c.Hostname, c.Layer), "/")
}

// Slots is the systems of an installed host.
func Slots(st slots.Status, now time.Time, width int) []string {
	s := &sheet{width: width}
	if !st.Installed {
		if st.Disk == "" {
			s.row("this host is not installed: it was booted from a medium or the network, and has no slots")
		}
		if st.Problem != "" {
			s.more(st.Problem)
		}
		return s.lines
	}
	s.field("disk", st.Disk)
	s.row("%-8s %-10s %-16s %-8s %-7s %s", "SLOT", "STATE", "VERSION", "BOOTED", "NEXT", "TRIES")
	mark := map[bool]string{true: "yes", false: "-"}
	for _, e := range st.Slots {
		tries := "-"
		if e.Tries > 0 {
			tries = fmt.Sprint(e.Tries)
		}
		s.row("%-8s %-10s %-16s %-8s %-7s %s", e.Name, e.State, cmp.Or(e.Version, "-"), mark[e.Booted], mark[e.Next], tries)
		if e.Reason != "" {
			s.more(e.Reason)
		}
	}
	if st.Hot != "" {
		s.field("hot", fmt.Sprintf("the programs of release %s run in place of the booted slot's", st.Hot))
	}
	s.field("waits for", strings.Join(st.Waits, "; "))
	if st.Deadline > 0 {
		if left := time.Unix(st.Deadline, 0).Sub(now).Round(time.Second); left > 0 {
			s.field("goes back in", left.String())
		}
	}
	s.field("being done", st.Busy)
	s.field("not done", st.Failed)
	s.field("problem", st.Problem)
	return s.lines
}
