package host

import (
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"hardnode.dev/internal/secret/challenge"
	"hardnode.dev/tools/hnctl/app"
)

func hostConfigConsoleKey(a *app.App) *cobra.Command {
	return &cobra.Command{
		Use: "console-key FILE", Short: "Make a key that answers the challenges of hosts' terminals: FILE is its private half",
		Args:    cobra.ExactArgs(1),
		Example: "  hnctl host config console-key console.key    # prints what goes into console.key of a configuration",
		RunE: func(_ *cobra.Command, args []string) error {
			private, public := challenge.NewKey()
			f, err := os.OpenFile(args[0], os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600) // a key that is there is not lost
			if err != nil {
				return app.WithCode(app.ExitUsage, err)
			}
			_, err = fmt.Fprintln(f, private)
			if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
				return errors.Join(err, os.Remove(args[0]))
			}
			a.Say("%s answers a challenge at a host's terminal; keep it; put this into console.key of the host's configuration", args[0])
			_, err = fmt.Fprintf(a.Out, "%s\n", public)
			return err
		},
	}
}

// mostKey is how long the file of a key may be, in bytes.
const mostKey = 4 << 10

func hostConsoleAnswer(a *app.App) *cobra.Command {
	key := ""
	c := &cobra.Command{
		Use: "console-answer HOST CHALLENGE", Short: "Answer the challenge that the terminal of a host shows", Args: cobra.ExactArgs(2),
		Example: "  hnctl host console-answer --key console.key host-3 K7QX…    # prints what is typed there",
		RunE: func(cmd *cobra.Command, args []string) error {
			raw, err := a.ReadFile(cmd.Context(), key, mostKey)
			if err != nil {
				return err
			}
			text, err := challenge.Answer(string(raw), args[0], args[1])
			if errors.Is(err, challenge.ErrPrivate) {
				err = fmt.Errorf("%s: %w", key, err)
			}
			if err != nil {
				return app.WithCode(app.ExitUsage, err)
			}
			_, err = fmt.Fprintln(a.Out, text)
			return err
		},
	}
	c.Flags().StringVar(&key, "key", "", "file that `hnctl host config console-key` wrote; - is stdin")
	c.MarkFlagRequired("key")
	return c
}
