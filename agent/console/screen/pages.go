package screen

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	tea "charm.land/bubbletea/v2"

	"hardnode.dev/agent/console/view"
	"hardnode.dev/internal/logging/plain"
	"hardnode.dev/internal/wire/boot"
	"hardnode.dev/internal/wire/console"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/install"
	"hardnode.dev/internal/wire/slots"
	"hardnode.dev/internal/wire/storage"
)

// page is one of the screen's pages.
type page struct {
	name string
	load func(context.Context, *model, *content)
	keys []key
}

// key is what a key does on a page.
type key struct {
	key, says string
	do        func(*model) tea.Cmd
}

// pages are all of them, in the order of their numbers. They are filled by init, since what they do leads back here.
var pages []page

func init() {
	pages = []page{
		{"Summary", loadSummary, []key{
			{"R", "reboot", func(m *model) tea.Cmd { return m.reason("reboot") }},
			{"P", "power off", func(m *model) tea.Cmd { return m.reason("poweroff") }}}},
		{"Net", loadNetwork, []key{
			{"e", "edit", (*model).editLink},
			{"a", "add", func(m *model) tea.Cmd { return m.ask("new link: ", "NAME MAC dhcp", "network try ") }},
			{"d", "drop", func(m *model) tea.Cmd { return m.runOn("network drop ") }},
			{"c", "confirm", func(m *model) tea.Cmd { return m.run("network confirm") }},
			{"r", "revert", func(m *model) tea.Cmd { return m.run("network revert") }}}},
		{"Disks", loadStorage, []key{
			{"p", "plan installation", func(m *model) tea.Cmd { return m.install(true) }},
			{"i", "install", func(m *model) tea.Cmd { return m.install(false) }}}},
		{"Nodes", loadContainers, []key{
			{"l", "log", func(m *model) tea.Cmd { return m.runOn("container logs --tail 200 ") }},
			{"r", "restart", func(m *model) tea.Cmd { return m.sure("restart", "container restart ") }}}},
		{"Log", loadLog, []key{
			{"/", "search", (*model).searches},
			{"u", "next unit", func(m *model) tea.Cmd { m.unit = (m.unit + 1) % len(units); return m.show(m.page) }}}},
		{"Slots", loadSlots, []key{
			{"t", "boot the other once", func(m *model) tea.Cmd { return m.run("slots try") }},
			{"c", "copy to it", func(m *model) tea.Cmd { return m.run("slots copy") }},
			{"b", "roll back", func(m *model) tea.Cmd { return m.run("slots rollback") }},
			{"R", "reboot", func(m *model) tea.Cmd { return m.reason("reboot") }}}},
		{"Activate", loadActivation, []key{
			{"a", "paste an activation", func(m *model) tea.Cmd { return m.ask("activation: ", "", "activate ") }}}},
		{"Support", loadText(
			"The support bundle is what somebody who helps needs to see of this host:",
			"its state, its logs, its configuration, without secrets, as a tar.gz.",
			"",
			"Press u, and it is a file on a stick: a FAT volume labelled SUPPORT.",
			"",
			"Over this line it is written as base64 between two marks, after the",
			"screen was left: let your terminal program keep a log, press b, and put",
			"what is between the marks through base64 -d."), []key{
			{"u", "onto a stick", func(m *model) tea.Cmd { return m.run("support stick") }},
			{"b", "as base64, over this line", func(m *model) tea.Cmd { m.after = "support"; return tea.Quit }}}},
		{"Reset", loadText(
			"A reset makes this host forget what it is and has: all its containers, all",
			"their data, its identity in the cluster, the network that was confirmed at",
			"a terminal. An installed host loses its configuration too, and waits for",
			"another one. The systems on its disk stay.",
			"",
			"Nothing brings it back. The host reboots, and is empty then."), []key{
			{"x", "reset", func(m *model) tea.Cmd { return m.ask("type the host's name: ", "", "reset --name ") }}}},
	}
}

// loading is what is said while a page comes for the first time.
const loading = "..."

// load asks for the page that is shown.
func (m *model) load() tea.Cmd {
	n, p := m.page, pages[m.page]
	ask := *m // its fields at this moment
	return func() tea.Msg {
		var c content
		p.load(m.ctx, &ask, &c)
		return loaded{n, c}
	}
}

func (m *model) get(ctx context.Context, c *content, path string, out any) bool {
	if err := m.agent.Get(ctx, path, out); err != nil {
		c.err = err
	}
	return c.err == nil
}

func loadSummary(ctx context.Context, m *model, c *content) {
	c.name, c.body, c.err = m.o.Summary(ctx, Width)
}

func loadNetwork(ctx context.Context, m *model, c *content) {
	var n console.Network
	if !m.get(ctx, c, "/v1/network", &n) {
		return
	}
	c.body, c.trial = view.Network(n, Width), n.Trial != nil
	in := n.Confirmed
	if n.Trial != nil {
		in = n.Trial.Network
	}
	c.body = append(c.body, "", "A link is its name, its card's MAC, then dhcp or ADDRESS/BITS, gateway=A,",
		"dns=A, mtu=N, route=NET@A; for the MAC bond=MODE:LINK,LINK or vlan=ID@LINK.", "")
	for _, l := range links(in, n.Links) {
		c.mark(view.Link(l))
	}
}

// links are those that are configured; where none is, each card as the default has it.
func links(n boot.Network, there []boot.LinkStatus) (out []boot.Link) {
	if len(n.Links) > 0 {
		return n.Links
	}
	for _, l := range there {
		if l.Name != "" {
			out = append(out, boot.Link{Name: l.Name, MAC: l.MAC, DHCP: true})
		}
	}
	return out
}

// mark adds a line that can be selected, and stands for itself.
func (c *content) mark(id string) {
	c.marks, c.ids = append(c.marks, len(c.body)), append(c.ids, id)
	c.body = append(c.body, "  "+id)
}

func loadStorage(ctx context.Context, m *model, c *content) {
	var h console.Host
	var i install.Status
	var d storage.Status
	if !m.get(ctx, c, "/v1/host", &h) || !m.get(ctx, c, "/v1/install", &i) || !m.get(ctx, c, "/v1/storage", &d) {
		return
	}
	c.rows(view.Storage(h, i, d, Width-2), func(line string) string {
		for _, d := range i.Disks {
			if strings.HasPrefix(line, d.Path+" ") {
				return d.Path
			}
		}
		return ""
	})
}

// rows are lines of which those that stand for something, as of says, can be selected.
func (c *content) rows(lines []string, of func(line string) string) {
	for n, l := range lines {
		if id := of(l); id != "" {
			c.marks, c.ids = append(c.marks, n), append(c.ids, id)
		}
		c.body = append(c.body, "  "+l)
	}
}

func loadContainers(ctx context.Context, m *model, c *content) {
	var all []console.Container
	if !m.get(ctx, c, "/v1/containers", &all) {
		return
	}
	c.rows(view.Containers(all, Width-2), func(line string) string {
		for _, x := range all {
			if strings.HasPrefix(line, x.CTID.String()+" ") {
				return x.CTID.String()
			}
		}
		return ""
	})
}

// units are the logs of the page, in its order.
var units = append([]host.Unit{host.UnitDmesg}, host.Units...)

// logLines is how many lines of a log a page has: the last ones, or the last ones of all that were searched for.
const logLines = 500

func loadLog(ctx context.Context, m *model, c *content) {
	tail := logLines
	if m.search != "" {
		tail = 0
	}
	r, err := m.agent.Open(ctx, fmt.Sprintf("/v1/log/%s?tail=%d", units[m.unit], tail))
	if err != nil {
		c.err = err
		return
	}
	defer r.Close()
	c.title, c.last = string(units[m.unit]), true
	if m.search != "" {
		c.title += " with " + m.search
	}
	in := bufio.NewScanner(r)
	in.Buffer(make([]byte, 4<<10), 1<<20)
	for in.Scan() {
		if !strings.Contains(strings.ToLower(in.Text()), strings.ToLower(m.search)) {
			continue
		}
		if c.body = append(c.body, plain.Wrap(in.Text(), Width)...); len(c.body) >= 2*logLines {
			c.body = append(c.body[:0], c.body[len(c.body)-logLines:]...)
		}
	}
	c.body = c.body[max(0, len(c.body)-logLines):]
	if c.err = in.Err(); len(c.body) == 0 {
		c.body = []string{fmt.Sprintf("the log of %s has no such line", units[m.unit])}
	}
}

func loadSlots(ctx context.Context, m *model, c *content) {
	var st slots.Status
	var a boot.AgentStatus
	if m.get(ctx, c, "/v1/slots", &st) && m.get(ctx, c, "/v1/status", &a) {
		c.body = append(view.Slots(st, time.Now(), Width), view.Update(a.System, Width)...)
	}
}

func loadActivation(ctx context.Context, m *model, c *content) {
	var a boot.AgentStatus
	var h console.Host
	if !m.get(ctx, c, "/v1/status", &a) || !m.get(ctx, c, "/v1/host", &h) {
		return
	}
	c.body = view.Activation(a, h.Configured, Width)
}

func loadText(lines ...string) func(context.Context, *model, *content) {
	return func(_ context.Context, _ *model, c *content) { c.body = lines }
}

// ask has a line typed and runs it behind a command's name.
func (m *model) ask(label, text, command string) tea.Cmd {
	m.asks = &field{label: label, text: text, done: func(text string, ok bool) tea.Cmd {
		if !ok {
			return nil
		}
		return m.run(command + text)
	}}
	return nil
}

// runOn runs a command on what is selected.
func (m *model) runOn(command string) tea.Cmd {
	id, _, _ := strings.Cut(m.selected(), " ")
	if id == "" {
		m.says = "nothing is selected"
		return nil
	}
	return m.run(command + id)
}

// sure runs a command on what is selected when that is typed.
func (m *model) sure(what, command string) tea.Cmd {
	id := m.selected()
	if id == "" {
		m.says = "nothing is selected"
		return nil
	}
	m.asks = &field{label: fmt.Sprintf("%s %s? y or n: ", what, id), done: func(text string, ok bool) tea.Cmd {
		if !ok || text != "y" {
			m.says = "not done"
			return nil
		}
		return m.run(command + id)
	}}
	return nil
}

func (m *model) editLink() tea.Cmd {
	if m.selected() == "" {
		m.says = "no link is selected"
		return nil
	}
	return m.ask("link: ", m.selected(), "network try ")
}

// reason asks why the machine is left; without an answer it is not.
func (m *model) reason(command string) tea.Cmd {
	m.asks = &field{label: command + ", because of (Esc: don't): ", done: func(text string, ok bool) tea.Cmd {
		if !ok {
			m.says = "not done"
			return nil
		}
		return m.run(command + " " + quoted(text))
	}}
	return nil
}

// quoted is a text as one word of a command.
func quoted(text string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(text) + `"`
}

// install plans or begins an installation to the disk that is selected; its name is typed before it is written to.
func (m *model) install(dry bool) tea.Cmd {
	disk := m.selected()
	if disk == "" {
		m.says = "no disk is selected"
		return nil
	}
	if dry {
		return m.run("install --dry-run " + disk + " --wipe " + disk)
	}
	m.asks = &field{label: "all of it is lost; type its name: ", done: func(text string, ok bool) tea.Cmd {
		if !ok || text != disk {
			m.says = errNotTyped.Error()
			return nil
		}
		return m.run("install " + disk + " --wipe " + disk)
	}}
	return nil
}

var errNotTyped = errors.New("not done: that is not its name")

func (m *model) searches() tea.Cmd {
	m.asks = &field{label: "lines with: ", text: m.search, done: func(text string, ok bool) tea.Cmd {
		if ok {
			m.search = text
		}
		return m.show(m.page)
	}}
	return nil
}
