package app

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"hardnode.dev/internal/wire/operator"
)

// progress shows an operation: one line that changes on a terminal, else one line for each step that starts or ends.
type progress struct {
	to    io.Writer
	tty   bool
	quiet bool // programs get no progress
	said  map[string]operator.OperationState
	open  bool // an unfinished line stands on the terminal
}

func (p *progress) show(op operator.Operation) {
	switch {
	case p.quiet:
		return
	case p.tty:
		current := ""
		for _, s := range op.Steps {
			if s.State == operator.OpRunning || s.State == operator.OpFailed {
				current = s.Name
				if s.Detail != "" {
					current += ": " + s.Detail
				}
			}
		}
		line := fmt.Sprintf("%s %s  %3d %%  %s", op.Kind, op.Object, op.Progress, current)
		if r := []rune(Clean(line)); len(r) > 100 {
			line = string(r[:99]) + "…"
		}
		fmt.Fprintf(p.to, "\r%s\x1b[K", Clean(line))
		p.open = true
		return
	}
	if p.said == nil {
		p.said = map[string]operator.OperationState{}
	}
	for i, s := range op.Steps {
		key := fmt.Sprintf("%d %s", i, s.Name)
		if s.State == operator.OpPending || p.said[key] == s.State {
			continue
		}
		p.said[key] = s.State
		fmt.Fprintln(p.to, Clean(strings.TrimSpace(fmt.Sprintf("%s: %s %s", s.Name, s.State, s.Detail))))
	}
}

func (p *progress) end() {
	if p.open {
		fmt.Fprintln(p.to)
		p.open = false
	}
}

func decodeOperation(data []byte, op *operator.Operation) bool {
	var next operator.Operation
	if json.Unmarshal(data, &next) != nil || next.ID == "" {
		return false
	}
	*op = next
	return true
}
