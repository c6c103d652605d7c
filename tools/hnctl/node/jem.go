package node

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"hardnode.dev/internal/wire/jem"
	"hardnode.dev/tools/hnctl/app"
	"hardnode.dev/tools/hnctl/session"
)

// JEM is the command that runs a life-cycle action in a node.
func JEM(a *app.App) *cobra.Command {
	var input, once string
	c := &cobra.Command{
		Use: "jem NODE MODULE ACTION [ARG…]", Short: "Run a life-cycle action in a node (hnctl jem NODE list: what there is)",
		Args: cobra.MinimumNArgs(2),
		Long: "Runs an action of JEM, the tool inside every container, and shows its answer. Flags of hnctl come before NODE; what is " +
			"behind it\nis the action's, but --json, which shows the answer as it came. An action that began goes on when hnctl is " +
			"ended; with --once a\ncall that is said again gives the answer of the first one. The exit code is 1 if the action " +
			"failed, 2 if the call was wrong.",
		Example: "  hnctl jem 101 list\n  hnctl jem 101 service status\n  hnctl jem --once release-7 101 service restart nginx",
		RunE: func(cmd *cobra.Command, args []string) error {
			node, args := args[0], slices.Clone(args[1:])
			if i := slices.Index(args, "--json"); i >= 0 {
				args, a.Output = slices.Delete(args, i, i+1), "json"
			}
			if len(args) == 1 && args[0] == "list" {
				args = []string{"jem", "list"}
			}
			if len(args) < 2 {
				return app.WithCode(app.ExitUsage, errors.New("MODULE and ACTION are needed; hnctl jem NODE list shows them"))
			}
			if err := jem.ValidKey(once); err != nil {
				return app.WithCode(app.ExitUsage, fmt.Errorf("--once: %v", err))
			}
			in, closed, err := jemInput(a, input)
			if err != nil {
				return app.WithCode(app.ExitUsage, err)
			}
			defer closed()
			q := url.Values{"module": {args[0]}, "action": {args[1]}, "arg": args[2:]}
			if once != "" {
				q.Set("key", once)
			}
			return runJEM(cmd.Context(), a, node, q, in)
		},
	}
	c.Flags().SetInterspersed(false)
	c.Flags().StringVar(&input, "input", "", "file that the action is given, - for stdin")
	c.Flags().StringVar(&once, "once", "", "a name for this call: what was done under it is not done again (kept for a day)")
	return c
}

// jemInput is what the action is given: nothing, unless a file is named.
func jemInput(a *app.App, name string) (io.Reader, func(), error) {
	switch name {
	case "":
		return strings.NewReader(""), func() {}, nil
	case "-":
		return a.In, func() {}, nil
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, nil, fmt.Errorf("--input: %v", err)
	}
	return f, func() { f.Close() }, nil
}

// runJEM runs the action and shows its answer.
func runJEM(ctx context.Context, a *app.App, node string, q url.Values, in io.Reader) error {
	out := &answer{}
	err := inNode(ctx, a, node, "jem", q, session.IO{In: in, Out: out, Err: a.Talk})
	if out.b.Len() == 0 {
		return err // there is none
	}
	reply, derr := jem.Decode(out.b.Bytes())
	if derr != nil {
		return app.WithCode(app.ExitFailed, fmt.Errorf("jem in node %s: %v", node, derr))
	}
	if a.Output != "table" {
		return errors.Join(a.Show(reply, "", nil), err)
	}
	if serr := showReply(a, reply); serr != nil {
		return serr
	}
	if reply.Error != nil && err != nil {
		text := fmt.Sprintf("jem %s %s in node %s: %s", q.Get("module"), q.Get("action"), node, app.Clean(reply.Error.Reason))
		if reply.Error.Next != "" {
			text += "; " + app.Clean(reply.Error.Next)
		}
		return app.WithCode(app.ExitCode(err), errors.New(text))
	}
	return err
}

// answer keeps what comes, up to the largest answer.
type answer struct{ b bytes.Buffer }

func (w *answer) Write(p []byte) (int, error) {
	if w.b.Len()+len(p) > jem.MaxReply+1 {
		return 0, fmt.Errorf("the answer has more than %d bytes", jem.MaxReply)
	}
	return w.b.Write(p)
}

// showReply shows an answer to a person. What the container wrote can't move the cursor of a terminal.
func showReply(a *app.App, r jem.Reply) error {
	if r.Said != "" {
		fmt.Fprint(a.Talk, plain(r.Said))
	}
	for _, l := range r.Lines {
		if _, err := fmt.Fprintf(a.Out, "%s %s %s\n", app.Stamp(l.Time), app.Clean(l.Unit), app.Clean(l.Text)); err != nil {
			return err
		}
	}
	if r.Text != "" {
		text := r.Text
		if app.IsTerminal(a.Out) {
			text = plain(text)
		}
		if _, err := io.WriteString(a.Out, text); err != nil {
			return err
		}
	}
	var err error
	if len(r.Services) > 0 {
		err = a.Show(nil, "", func(t *app.Table) {
			t.Head("NAME", "STATE", "SUB", "PID", "MEMORY", "RESTARTS", "SINCE", "DESCRIPTION")
			for _, s := range r.Services {
				t.Row(s.Name, s.State, s.Sub, s.PID, fmt.Sprintf("%d KiB", s.MemoryBytes>>10), s.Restarts, app.Stamp(s.Since),
					s.Description)
			}
		})
	}
	if len(r.Items) > 0 {
		err = a.Show(nil, "", func(t *app.Table) {
			t.Head(strings.Split(strings.ToUpper(strings.Join(r.Columns, " ")), " ")...)
			for _, item := range r.Items {
				row := make([]any, len(r.Columns))
				for i, c := range r.Columns {
					row[i] = item[c]
				}
				t.Row(row...)
			}
		})
	}
	if r.Error == nil && r.Message != "" {
		again := ""
		if r.Again {
			again = " (done before, under the same name)"
		}
		a.Say("%s%s", app.Clean(r.Message), again)
	}
	return err
}

// plain is text of several lines that can't move the cursor.
func plain(text string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		b.WriteString(app.Clean(strings.TrimSuffix(line, "\n")) + "\n")
	}
	return b.String()
}
