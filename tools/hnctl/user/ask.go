package user

import (
	"context"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"hardnode.dev/internal/secret"
	"hardnode.dev/tools/hnctl/app"
)

// question asks for one secret.
type question struct {
	prompt   string
	twice    bool // it is typed twice: it is new
	optional bool // it may be left empty
}

var (
	password = question{prompt: "password"}
	code     = question{prompt: "code of the second factor, or a recovery code"}
	maybe    = question{prompt: "code of the second factor, or a recovery code (empty: there is none)", optional: true}
)

func fresh(prompt string) question { return question{prompt: prompt, twice: true} }

// secretsFlag adds the flag of secrets: they come from a file or a terminal, never from an argument, which others on the machine can read.
func secretsFlag(c *cobra.Command, file *string, lines string) {
	c.Flags().StringVar(file, "password-file", "", "read from a file, or stdin for -, a line each: "+lines)
}

// secrets are the answers to questions: lines of a file (stdin for "-"), or what is typed at a terminal without being shown.
func secrets(ctx context.Context, c *cobra.Command, a *app.App, file string, ask ...question) ([]secret.Text, error) {
	switch {
	case file != "":
		return fromFile(ctx, c, a, file, ask)
	case c.Flags().Changed("password-file"):
		return nil, app.Usage(c, "--password-file is empty: name a file, or - for stdin")
	case !app.IsTerminal(a.In) || !app.IsTerminal(a.Talk):
		return nil, app.Usage(c, "there is no terminal to ask at: give --password-file FILE, or - for stdin")
	}
	out := make([]secret.Text, len(ask))
	for i, q := range ask {
		text, err := typed(a, q)
		if err != nil {
			return nil, app.WithCode(app.ExitUsage, err)
		}
		out[i] = text
	}
	return out, nil
}

func fromFile(ctx context.Context, c *cobra.Command, a *app.App, file string, ask []question) ([]secret.Text, error) {
	raw, err := a.ReadFile(ctx, file, 4<<10)
	if err != nil {
		return nil, err
	}
	lines := strings.Split(strings.TrimSuffix(string(raw), "\n"), "\n")
	if len(lines) > len(ask) {
		return nil, app.Usage(c, "%s has %d lines, want at most %d", file, len(lines), len(ask))
	}
	out := make([]secret.Text, len(ask))
	for i, q := range ask {
		if i < len(lines) {
			out[i] = secret.Text(strings.TrimSuffix(lines[i], "\r"))
		}
		if out[i] == "" && !q.optional {
			return nil, app.Usage(c, "%s has no line %d: the %s", file, i+1, q.prompt)
		}
	}
	return out, nil
}

// typed is what a person types at the terminal, unseen.
func typed(a *app.App, q question) (secret.Text, error) {
	first, err := unseen(a, q.prompt)
	if err != nil {
		return "", err
	}
	if first == "" && !q.optional {
		return "", fmt.Errorf("the %s is empty; nothing was changed", q.prompt)
	}
	if q.twice {
		again, err := unseen(a, q.prompt+" once more")
		if err != nil {
			return "", err
		}
		if again != first {
			return "", fmt.Errorf("the two are not the same; nothing was changed")
		}
	}
	return secret.Text(first), nil
}

func unseen(a *app.App, prompt string) (string, error) {
	fmt.Fprint(a.Talk, prompt+": ")
	raw, err := term.ReadPassword(int(a.In.(*os.File).Fd())) // a terminal: secrets asked
	fmt.Fprintln(a.Talk)
	if err != nil {
		return "", fmt.Errorf("read the %s: %v", prompt, err)
	}
	return string(raw), nil
}

// line is what a person types at the terminal, seen; without one it must be given by what flag or argument says.
func line(c *cobra.Command, a *app.App, prompt, given string) (string, error) {
	if !app.IsTerminal(a.In) || !app.IsTerminal(a.Talk) {
		return "", app.Usage(c, "the %s is missing: give %s", prompt, given)
	}
	fmt.Fprint(a.Talk, prompt+": ")
	var out []byte
	buf := make([]byte, 1) // no more than the line: the password comes after it
	for len(out) < 4096 {
		n, err := a.In.Read(buf)
		if err != nil {
			return "", app.WithCode(app.ExitUsage, fmt.Errorf("read the %s: %v", prompt, err))
		}
		if n == 1 && buf[0] == '\n' {
			break
		}
		out = append(out, buf[:n]...)
	}
	text := strings.TrimSpace(string(out))
	if text == "" {
		return "", app.Usage(c, "the %s is empty: give %s", prompt, given)
	}
	return text, nil
}
