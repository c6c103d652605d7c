package node

import (
	"net/url"

	"github.com/spf13/cobra"

	"hardnode.dev/tools/hnctl/app"
	"hardnode.dev/tools/hnctl/session"
)

// leaveKey leaves a console: Ctrl-], as telnet and virsh have it.
const leaveKey = 0x1d

func nodeConsole(a *app.App) *cobra.Command {
	return &cobra.Command{
		Use: "console NODE", Short: "The console of a full OS, to log in at", Args: cobra.ExactArgs(1),
		Long: "Connects this terminal to the console of a node whose profile is system: its login, and what its system says. Several\n" +
			"may be there at once. Enter shows the login; Ctrl-] leaves, and what runs there goes on. What is shown is its log too.",
		Example: "  hnctl node console 101",
		RunE: func(cmd *cobra.Command, args []string) error {
			io, q := session.IO{In: a.In, Out: a.Out, Err: a.Talk}, url.Values{}
			if io.TTY = app.IsTerminal(a.In) && app.IsTerminal(a.Out); io.TTY {
				setSize(a, q)
				io.Detach = leaveKey
				a.Say("Ctrl-] leaves")
			}
			return inNode(cmd.Context(), a, args[0], "console", q, io)
		},
	}
}

func nodeAttach(a *app.App) *cobra.Command {
	return &cobra.Command{
		Use: "attach NODE", Short: "What a node says from now on", Args: cobra.ExactArgs(1),
		Long: "Shows what a node's first program writes from now on, until Ctrl-C or its end; of a full OS, what its console shows.\n" +
			"Nothing can be typed: the stdin of a node's program is /dev/null, since it must outlive any session. hnctl node exec runs\n" +
			"a shell beside it, hnctl node console is a full OS's terminal.",
		Example: "  hnctl node attach 101",
		RunE: func(cmd *cobra.Command, args []string) error {
			return inNode(cmd.Context(), a, args[0], "console", url.Values{"follow": {"true"}}, session.IO{Out: a.Out, Err: a.Talk})
		},
	}
}
