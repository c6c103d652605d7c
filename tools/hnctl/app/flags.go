package app

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

// Usage is a mistake in how c was called.
func Usage(c *cobra.Command, format string, args ...any) error {
	text := fmt.Sprintf(format, args...)
	if !strings.HasSuffix(text, "?") {
		text += ";"
	}
	return WithCode(ExitUsage, fmt.Errorf("%s see %s --help", text, c.CommandPath()))
}

func Short(hex string) string { return hex[:min(12, len(hex))] }

func NonEmpty(texts ...string) (out []string) {
	for _, s := range texts {
		if s != "" {
			out = append(out, s)
		}
	}
	return out
}

func EmptyFlag(c *cobra.Command, name string) error {
	if c.Flags().Changed(name) && c.Flag(name).Value.String() == "" {
		return Usage(c, "--%s is empty: give a name, or leave the flag out", name)
	}
	return nil
}

func NoWaitFlag(c *cobra.Command, v *bool) {
	c.Flags().BoolVar(v, "no-wait", false, "return as soon as the request is accepted")
}

func Group(use, short string, subs ...*cobra.Command) *cobra.Command {
	c := &cobra.Command{Use: use, Short: short}
	c.AddCommand(subs...)
	return c
}

func Misused(c *cobra.Command, format string, args ...any) error {
	return WithCode(ExitUsage, fmt.Errorf("%s; usage: %s, see %s --help", fmt.Sprintf(format, args...), c.UseLine(), c.CommandPath()))
}
