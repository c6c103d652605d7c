package screen

import (
	"fmt"
	"slices"
	"strings"

	tea "charm.land/bubbletea/v2"

	"hardnode.dev/internal/logging/plain"
)

// bodyLines is how many lines the middle of the screen has.
const bodyLines = Height - 6

// screen is the lines as they are shown, and where the cursor is.
func (m *model) screen() (lines []string, row, column int) {
	rule := strings.Repeat("-", Width)
	lines = append(lines, spread(m.name, "hardnode on "+m.o.Session.TTY), tabs(m.page), rule)
	shown := m.shown()
	for n := range bodyLines {
		line := ""
		if at := m.top + n; at < len(shown) {
			line = shown[at]
			if m.answer == nil && m.chosen < len(m.marks) && m.marks[m.chosen] == at {
				line = ">" + strings.TrimPrefix(line, " ")
			}
		}
		lines = append(lines, line)
	}
	where := m.title
	if m.answer != nil {
		where = ""
	}
	if most := len(shown); most > bodyLines {
		where = strings.TrimSpace(fmt.Sprintf("%s %d-%d of %d", where, m.top+1, min(most, m.top+bodyLines), most))
	}
	lines = append(lines, rule, spread(m.help(), where))
	if f := m.asks; f != nil {
		text := f.text
		if f.hidden {
			text = strings.Repeat("*", len(text))
		}
		if room := Width - len(f.label) - 1; len(text) > room { // its end is what is being typed
			text = "<" + text[len(text)-room+1:]
		}
		lines = append(lines, f.label+text)
		return lines, Height, len(f.label+text) + 1
	}
	return append(lines, m.says), Height, Width
}

// spread is a text at each end of a line.
func spread(left, right string) string {
	left, right = plain.Line(left), plain.Line(right)
	room := max(0, Width-len(right)-1)
	return fmt.Sprintf("%-*s %s", room, plain.Clip(left, room), right)
}

// tabs are the names of the pages, that of the one that is shown in brackets.
func tabs(shown int) string {
	var all []string
	for n, p := range pages {
		name := fmt.Sprintf("%d %s", n+1, p.name)
		if n == shown {
			name = "[" + name + "]"
		}
		all = append(all, name)
	}
	return strings.Join(all, " ")
}

// help is the keys that do something now.
func (m *model) help() string {
	if m.asks != nil {
		return "Enter: do it  Esc: don't  Ctrl-U: empty the line"
	}
	if m.answer != nil {
		return "up, down: scroll  Enter: back"
	}
	var all []string
	for _, k := range pages[m.page].keys {
		if (k.says == "confirm" || k.says == "revert") && !m.trial {
			continue
		}
		all = append(all, k.key+": "+k.says)
	}
	return strings.Join(append(all, "q: leave"), "  ")
}

// key takes a key while nothing is typed.
func (m *model) key(k string) tea.Cmd {
	if m.answer != nil && !slices.Contains([]string{"up", "down", "pgup", "pgdown", "k", "j", "b", "space", "ctrl+l"}, k) {
		m.answer, m.top, m.says = nil, 0, ""
		if k != "q" && k != "ctrl+t" {
			return m.load()
		}
	}
	switch k {
	case "q", "ctrl+t", "ctrl+c", "ctrl+d":
		return tea.Quit
	case "ctrl+l":
		m.paint.again()
	case "up", "k":
		m.move(-1)
	case "down", "j":
		m.move(1)
	case "pgup":
		m.scroll(-bodyLines)
	case "pgdown", "space":
		m.scroll(bodyLines)
	case "home", "g":
		m.scroll(-len(m.shown()))
	case "end", "G":
		m.scroll(len(m.shown()))
	case "tab", "right":
		return m.show((m.page + 1) % len(pages))
	case "shift+tab", "left":
		return m.show((m.page + len(pages) - 1) % len(pages))
	default:
		if len(k) == 1 && k[0] >= '1' && int(k[0]-'1') < len(pages) {
			return m.show(int(k[0] - '1'))
		}
		for _, x := range pages[m.page].keys {
			if x.key == k && !m.busy {
				return x.do(m)
			}
		}
	}
	return nil
}

// show goes to another page.
func (m *model) show(n int) tea.Cmd {
	m.title = ""
	m.page, m.body, m.marks, m.ids, m.chosen, m.top, m.says = n, nil, nil, nil, 0, 0, loading
	return m.load()
}

// move chooses another line, or scrolls where none can be chosen.
func (m *model) move(by int) {
	if m.answer != nil || len(m.marks) == 0 {
		m.scroll(by)
		return
	}
	m.chosen = min(max(0, m.chosen+by), len(m.marks)-1)
	if at := m.marks[m.chosen]; at < m.top {
		m.top = at
	} else if at >= m.top+bodyLines {
		m.top = at - bodyLines + 1
	}
}

func (m *model) scroll(by int) { m.top = min(max(0, m.top+by), m.lowest()) }

// wrapped is lines of a command's answer as they fit.
func wrapped(lines []string) (out []string) {
	for _, l := range lines {
		out = append(out, plain.Wrap(l, Width)...)
	}
	return out
}
