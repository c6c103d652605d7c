// Package screen is the pages that a terminal shows at 80 columns and 24 lines.
//
// Owns: the pages, their keys, what is selected, where a page is scrolled to; the codes that a VT100 is written with.
// In: keys; documents of the agent; answers of the commands (package talk), which carry out all that is changed here.
// Out: screens, by line; a command to be run in lines after the screen was left.
// Never: asks the terminal anything, needs a colour or an alternate screen, or changes anything but by a command.
package screen

import (
	"bytes"
	"context"
	"io"
	"slices"
	"strings"
	"time"

	tea "charm.land/bubbletea/v2"

	"hardnode.dev/agent/console/talk"
	"hardnode.dev/internal/run/ask"
)

// Options are what a screen is opened with.
type Options struct {
	Session *talk.Session // whose commands are run, and who is logged in
	Summary func(ctx context.Context, width int) (name string, lines []string, err error)
	In      io.Reader // keys; it ends when the terminal does
	Out     io.Writer
}

// refresh is how often a page is asked for anew.
const refresh = 3 * time.Second

// Run shows the screen until somebody leaves it or ctx ends. After is a command to run in lines then; "" is none.
func Run(ctx context.Context, o Options) (after string, err error) {
	m := newModel(ctx, o)
	// Bubble Tea gives the loop and the keys. Its own renderer asks terminals what they can do, so nothing of it gets to this one.
	p := tea.NewProgram(m, tea.WithContext(ctx), tea.WithInput(o.In), tea.WithOutput(io.Discard), tea.WithoutRenderer(),
		tea.WithoutSignalHandler(), tea.WithoutCatchPanics(), tea.WithEnvironment([]string{"TERM=vt100"}),
		tea.WithWindowSize(Width+1, Height))
	m.send = p.Send
	_, err = p.Run()
	m.paint.leave()
	if ctx.Err() != nil {
		err = nil
	}
	return m.after, err
}

// model is the screen's state. It is changed by Update only.
type model struct {
	ctx   context.Context
	o     Options
	agent *ask.Client // logged in, once a command has been
	send  func(tea.Msg)
	paint *painter
	after string

	page   int
	name   string   // of the host, and its state
	body   []string // of the page
	marks  []int    // lines of the body that can be selected
	ids    []string // what they stand for
	chosen int
	top    int // first line of the body that is shown
	trial  bool
	title  string
	unit   int
	search string

	asks   *field   // what is being typed
	answer []string // of a command; shown in place of the page until a key
	says   string   // one line: what is being done, or went wrong
	failed string   // that line, when it is why the page could not be loaded
	busy   bool
}

// field is a line that is typed on the screen.
type field struct {
	label  string
	text   string
	hidden bool
	done   func(text string, ok bool) tea.Cmd
}

func newModel(ctx context.Context, o Options) *model {
	return &model{ctx: ctx, o: o, agent: o.Session.Agent, paint: &painter{out: o.Out}}
}

// The messages.
type (
	tick   struct{}
	loaded struct {
		page int
		content
	}
	answered struct {
		lines []string
		exit  int
		agent *ask.Client
	}
	question struct {
		prompt string
		hidden bool
		reply  chan string
	}
)

// content is a page as it was loaded.
type content struct {
	name  string
	body  []string
	marks []int
	ids   []string
	trial bool
	title string // beside where it is scrolled to
	last  bool   // its end is what counts
	err   error
}

// Init implements tea.Model.
func (m *model) Init() tea.Cmd { return tea.Batch(m.load(), m.later()) }

// View implements tea.Model. Nothing comes of it: see Run.
func (m *model) View() tea.View { return tea.View{} }

// Update implements tea.Model.
func (m *model) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	cmd := m.update(msg)
	lines, row, column := m.screen()
	m.paint.paint(lines, row, column)
	return m, cmd
}

func (m *model) update(msg tea.Msg) tea.Cmd {
	switch msg := msg.(type) {
	case tick:
		if m.asks != nil || m.answer != nil || m.busy {
			return m.later()
		}
		return tea.Batch(m.load(), m.later())
	case loaded:
		m.loaded(msg)
	case answered:
		m.answered(msg)
		return m.load()
	case question:
		m.asks = &field{label: msg.prompt, hidden: msg.hidden, done: func(text string, ok bool) tea.Cmd {
			if ok {
				msg.reply <- text
			}
			close(msg.reply)
			return nil
		}}
	case tea.PasteMsg:
		if m.asks != nil {
			m.asks.text += printable(msg.Content)
		}
	case tea.KeyPressMsg:
		if m.asks != nil {
			return m.typed(msg)
		}
		return m.key(msg.String())
	}
	return nil
}

func (m *model) later() tea.Cmd { return tea.Tick(refresh, func(time.Time) tea.Msg { return tick{} }) }

func (m *model) loaded(l loaded) {
	if l.name != "" {
		m.name = l.name
	}
	if l.page != m.page {
		return // of a page that was left
	}
	if m.says == loading || m.says == m.failed {
		m.says = ""
	}
	if l.err != nil {
		m.failed = l.err.Error()
		m.says = m.failed
		return
	}
	id, low := m.selected(), m.top >= m.lowest()
	m.body, m.marks, m.ids, m.trial, m.title = l.body, l.marks, l.ids, l.trial, l.title
	if m.chosen = slices.Index(m.ids, id); m.chosen < 0 {
		m.chosen = 0
	}
	m.top = min(m.top, m.lowest())
	if l.last && low {
		m.top = m.lowest()
	}
}

// selected is what the line that is chosen stands for.
func (m *model) selected() string {
	if m.chosen < len(m.ids) {
		return m.ids[m.chosen]
	}
	return ""
}

func (m *model) lowest() int { return max(0, len(m.shown())-bodyLines) }

// shown is what is in the middle of the screen.
func (m *model) shown() []string {
	if m.answer != nil {
		return m.answer
	}
	return m.body
}

// typed takes a key while a line is typed.
func (m *model) typed(k tea.KeyPressMsg) tea.Cmd {
	f := m.asks
	switch k.String() {
	case "enter":
		m.asks = nil
		return f.done(f.text, true)
	case "esc", "ctrl+c", "ctrl+t":
		m.asks = nil
		return f.done("", false)
	case "backspace", "ctrl+h", "delete":
		if f.text != "" {
			f.text = f.text[:len(f.text)-1]
		}
	case "ctrl+u":
		f.text = ""
	case "ctrl+l":
		m.paint.again()
	default:
		if f.text += printable(k.Text); len(f.text) > talk.MaxLine {
			f.text = f.text[:talk.MaxLine]
		}
	}
	return nil
}

// printable is what of a text may be typed.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < 0x20 || r > 0x7e {
			return -1
		}
		return r
	}, s)
}

// run carries out a command as it would be typed, and shows its answer.
func (m *model) run(line string) tea.Cmd {
	if m.busy {
		return nil
	}
	m.busy, m.says = true, "at work: "+line
	s := *m.o.Session
	s.Question = m.question
	return func() tea.Msg {
		var out bytes.Buffer
		s.Out = &out
		exit, _ := s.Run(m.ctx, line)
		lines := strings.Split(strings.TrimRight(out.String(), "\n"), "\n")
		return answered{lines[:len(lines)-1], exit, s.Agent} // the last one is the exit status
	}
}

// question is how a command asks back.
func (m *model) question(ctx context.Context, prompt string, hidden bool) (string, error) {
	q := question{prompt, hidden, make(chan string, 1)}
	m.send(q)
	select {
	case text, ok := <-q.reply:
		if !ok {
			return "", context.Canceled
		}
		return text, nil
	case <-ctx.Done():
		return "", ctx.Err()
	}
}

func (m *model) answered(a answered) {
	m.busy, m.says = false, "done"
	m.agent, m.o.Session.Agent = a.agent, a.agent
	if a.exit != talk.Done {
		m.says = "not done"
	}
	if len(a.lines) > 0 {
		m.answer, m.top = wrapped(a.lines), 0
	}
}
