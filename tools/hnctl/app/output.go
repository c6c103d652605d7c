package app

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
)

// Show writes v as the output flag asks: names are the object names (-o name), fill makes the table.
func (a *App) Show(v any, names string, fill func(*Table)) error {
	switch a.Output {
	case "json":
		enc := json.NewEncoder(a.Out)
		enc.SetIndent("", "  ")
		enc.SetEscapeHTML(false)
		return enc.Encode(v)
	case "yaml":
		raw, err := json.Marshal(v) // field names as in JSON
		if err != nil {
			return err
		}
		text, err := yaml.JSONToYAML(raw)
		if err != nil {
			return err
		}
		_, err = a.Out.Write(text)
		return err
	case "name":
		if names != "" {
			fmt.Fprintln(a.Out, names)
		}
		return nil
	}
	t := &Table{}
	fill(t)
	return t.write(a.Out)
}

// Table lines columns up. Cells come from the cluster: what could move the cursor is shown as "?".
type Table struct{ rows [][]string }

func (t *Table) Head(cells ...string) { t.rows = append(t.rows, cells) }

func (t *Table) Row(cells ...any) {
	out := make([]string, len(cells))
	for i, c := range cells {
		if out[i] = Clean(fmt.Sprint(c)); out[i] == "" {
			out[i] = "-"
		}
	}
	t.rows = append(t.rows, out)
}

// Fields is a list of name and value, for one object.
func (t *Table) Fields(pairs ...any) {
	for i := 0; i+1 < len(pairs); i += 2 {
		if s := Clean(fmt.Sprint(pairs[i+1])); s != "" {
			t.rows = append(t.rows, []string{fmt.Sprint(pairs[i]), s})
		}
	}
}

// Gap leaves a line free and starts new columns.
func (t *Table) Gap() { t.rows = append(t.rows, nil) }

func (t *Table) write(w io.Writer) error {
	var b strings.Builder
	for start := 0; start < len(t.rows); {
		end := start
		for end < len(t.rows) && t.rows[end] != nil {
			end++
		}
		writeBlock(&b, t.rows[start:end])
		if end < len(t.rows) {
			b.WriteByte('\n')
		}
		start = end + 1
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func writeBlock(b *strings.Builder, rows [][]string) {
	var width []int
	for _, r := range rows {
		for i, c := range r {
			if i == len(width) {
				width = append(width, 0)
			}
			width[i] = max(width[i], utf8.RuneCountInString(c))
		}
	}
	for _, r := range rows {
		for i, c := range r {
			b.WriteString(c)
			if i < len(r)-1 {
				b.WriteString(strings.Repeat(" ", width[i]-utf8.RuneCountInString(c)+2))
			}
		}
		b.WriteByte('\n')
	}
}

func Clean(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '\n' || r == '\t' {
			return ' '
		}
		if !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, s)
}

// Ago is how long something is past, in the largest unit that says enough.
func Ago(t, now time.Time) string {
	if t.IsZero() {
		return ""
	}
	d := now.Sub(t)
	switch {
	case d < 0:
		return "0s"
	case d < 2*time.Minute:
		return fmt.Sprintf("%ds", int(d.Seconds()))
	case d < 2*time.Hour:
		return fmt.Sprintf("%dm", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh", int(d.Hours()))
	}
	return fmt.Sprintf("%dd", int(d.Hours()/24))
}

func Stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2006-01-02 15:04:05Z")
}
