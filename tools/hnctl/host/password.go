package host

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"hardnode.dev/internal/secret/password"
	"hardnode.dev/tools/hnctl/app"
)

func hostConfigPassword(a *app.App) *cobra.Command {
	return &cobra.Command{
		Use: "password", Short: "Make console.password of a host's configuration; the password is asked for, or read from stdin",
		Args:    cobra.NoArgs,
		Example: "  hnctl host config password    # prints what goes into console.password",
		RunE: func(*cobra.Command, []string) error {
			typed, err := newPassword(a)
			if err != nil {
				return app.WithCode(app.ExitUsage, err)
			}
			kept, err := password.Keep(typed)
			if err != nil {
				return app.WithCode(app.ExitUsage, err)
			}
			a.Say("it is asked for at the host's terminals before a change; put it into console.password of the host's configuration")
			_, err = fmt.Fprintf(a.Out, "%s\n", kept)
			return err
		},
	}
}

// newPassword is the first line of stdin, or what is typed twice at a terminal.
func newPassword(a *app.App) (string, error) {
	f, ok := a.In.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		raw, err := io.ReadAll(io.LimitReader(a.In, 4<<10))
		line, _, _ := strings.Cut(string(raw), "\n")
		return strings.TrimSuffix(line, "\r"), err
	}
	var typed [2]string
	for i, prompt := range []string{"password: ", "once more: "} {
		fmt.Fprint(a.Talk, prompt)
		raw, err := term.ReadPassword(int(f.Fd()))
		fmt.Fprintln(a.Talk)
		if err != nil {
			return "", err
		}
		typed[i] = string(raw)
	}
	if typed[0] != typed[1] {
		return "", errors.New("the two are not the same")
	}
	return typed[0], nil
}
