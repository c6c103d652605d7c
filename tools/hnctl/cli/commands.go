package cli

import (
	"github.com/spf13/cobra"
)

// commands are the nouns.
func (a *app) commands() []*cobra.Command {
	return []*cobra.Command{
		group("cluster", "The cluster as a whole", a.clusterInit()),
	}
}

func group(use, short string, subs ...*cobra.Command) *cobra.Command {
	c := &cobra.Command{Use: use, Short: short}
	c.AddCommand(subs...)
	return c
}
