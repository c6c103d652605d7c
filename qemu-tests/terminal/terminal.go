// Package terminal is who sits at a host's terminals in tests: in lines, as a script does, and at the pages, as people do.
//
// Owns: typing a command and reading the end of its answer; opening the pages, and looking at what they show; a machine's own keyboard.
// In: a machine of the harness whose console program runs.
// Out: answers with their exit status; a failed test that shows the terminal.
// Never: asks once for what comes with time.
package terminal

import (
	"context"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"hardnode.dev/internal/run"
	"hardnode.dev/qemu-tests/harness"
)

// Line is a serial port on which commands are typed.
type Line struct {
	testing.TB
	VM       *harness.VM
	Mark     *int          // up to which line of the console was read
	Patience time.Duration // the longest that an answer may take
}

// Wakes begins a conversation and asks for the status until it has the text: what answers comes up beside what the test has seen of the
// boot.
func (l Line) Wakes(text string) {
	l.Helper()
	ctx, cancel := context.WithTimeout(l.Context(), l.Patience)
	defer cancel()
	if _, err := l.VM.WaitAfter(ctx, 0, `hardnode: service console: ready`); err != nil { // before that nobody reads what is typed
		l.Fatal(err)
	}
	*l.Mark = l.VM.Console.Mark()
	l.types("\r")
	if _, err := l.VM.WaitAfter(ctx, *l.Mark, `^hardnode console on ttyS0; type help`); err != nil {
		l.Fatal(err)
	}
	l.Until("status", text)
}

// Until types a command again and again until its answer has the text, and returns that.
func (l Line) Until(line, text string) []string {
	l.Helper()
	ctx, cancel := context.WithTimeout(l.Context(), l.Patience)
	defer cancel()
	for {
		_, lines := l.Asks(line)
		if strings.Contains(strings.Join(lines, "\n"), text) {
			return lines
		}
		if !run.Wait(ctx, 200*time.Millisecond) {
			l.Fatalf("%s: no %q in\n%s", line, text, strings.Join(lines, "\n"))
		}
	}
}

// Row is a command, what its answer has somewhere, and its exit status. What is asked back is answered behind a CR.
type Row = struct {
	Line, Want string
	Exit       int
}

// Rows types commands in their order.
func (l Line) Rows(rows []Row) {
	l.Helper()
	for _, r := range rows {
		if lines := strings.Join(l.Typed(r.Line, r.Exit), "\n"); !strings.Contains(lines, r.Want) {
			l.Errorf("%s: no %q in\n%s", r.Line, r.Want, lines)
		}
	}
}

// Typed types a line and waits for the end of its answer. It returns the lines between.
func (l Line) Typed(line string, exit int) []string {
	l.Helper()
	got, lines := l.Asks(line)
	if got != exit {
		l.Errorf("%s: exit status %d, want %d\n%s", line, got, exit, strings.Join(lines, "\n"))
	}
	return lines
}

// Asks types a line and returns how its answer ended, and its lines.
func (l Line) Asks(line string) (exit int, lines []string) {
	l.Helper()
	*l.Mark = l.VM.Console.Mark()
	l.types(line + "\r")
	return l.Answer(line)
}

func (l Line) types(keys string) {
	l.Helper()
	if err := l.VM.Console.Type(keys); err != nil {
		l.Fatal(err)
	}
}

// Answer waits for the end of the answer to what was typed.
func (l Line) Answer(line string) (exit int, lines []string) {
	l.Helper()
	ctx, cancel := context.WithTimeout(l.Context(), l.Patience)
	defer cancel()
	for {
		m, err := l.VM.WaitAfter(ctx, *l.Mark, `^exit status (\d+)$`)
		if err != nil {
			l.Fatal(err)
		}
		whole := l.VM.Console.Mark() - *l.Mark // the last of the lines may not have come to its end
		lines = l.VM.Console.Lines(*l.Mark)
		if at := slices.Index(lines, m[0]); at >= 0 && at < whole {
			*l.Mark += at + 1 // what comes behind it is of the next one
			exit, err = strconv.Atoi(m[1])
			if err != nil {
				l.Fatal(err)
			}
			return exit, lines[:at+1]
		}
		if !run.Wait(ctx, 10*time.Millisecond) {
			l.Fatalf("%s: its answer has no end", line)
		}
	}
}

// Document is the line of JSON in an answer.
func Document(t testing.TB, lines []string, out any) {
	t.Helper()
	for _, l := range lines {
		if strings.HasPrefix(l, "{") || strings.HasPrefix(l, "[{") || l == "[]" {
			if err := json.Unmarshal([]byte(l), out); err != nil {
				t.Errorf("%s: %v", l, err)
			}
			return
		}
	}
	t.Errorf("no JSON in\n%s", strings.Join(lines, "\n"))
}
