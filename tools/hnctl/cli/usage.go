package cli

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"hardnode.dev/internal/wire/document"
	"hardnode.dev/tools/hnctl/app"
)

// The bounds of --timeout: less can't reach a server, more is none.
const (
	leastTimeout = time.Millisecond
	mostTimeout  = 24 * time.Hour
)

// otherNames are the words a command is also known by, at every level of the tree; one that a sibling already has is left to it.
var otherNames = map[string][]string{
	"list": {"ls"}, "delete": {"rm", "remove"}, "remove": {"rm", "delete"}, "revoke": {"rm"},
	"cluster": {"clusters"}, "host": {"hosts"}, "env": {"envs", "environment", "environments"},
	"node": {"nodes", "container", "containers"},
	"op":   {"ops", "operation", "operations"}, "template": {"templates"}, "token": {"tokens"},
	"user": {"users"}, "session": {"sessions"}, "installation": {"installations"},
	"context": {"contexts"}, "licence": {"licences", "license", "licenses"},
}

// helpful gives every command below c its other names and its words for what was typed wrongly.
func helpful(c *cobra.Command) {
	taken := map[string]bool{}
	for _, sub := range c.Commands() {
		taken[sub.Name()] = true
		for _, name := range sub.Aliases {
			taken[name] = true
		}
	}
	for _, sub := range c.Commands() {
		for _, name := range otherNames[sub.Name()] {
			if !taken[name] {
				taken[name] = true
				sub.Aliases = append(sub.Aliases, name)
			}
		}
		helpful(sub)
	}
	c.SetFlagErrorFunc(flagError)
	if !c.HasSubCommands() {
		c.Args = countArgs(c.Args)
		return
	}
	c.Args = cobra.ArbitraryArgs
	c.RunE = func(c *cobra.Command, args []string) error {
		if len(args) == 0 {
			return c.Help()
		}
		return noCommand(c, args[0])
	}
}

func noCommand(c *cobra.Command, name string) error {
	if like := likeCommands(c, name); len(like) > 0 {
		return app.Usage(c, "%q is no command of %s; did you mean \"%s\"?", name, c.CommandPath(), strings.Join(like, "\" or \""))
	}
	return app.Usage(c, "%q is no command of %s", name, c.CommandPath())
}

// likeCommands are the commands that were most likely meant: those further down with just that name, or one of c with a name near it.
func likeCommands(c *cobra.Command, name string) (out []string) {
	is := map[string]string{}
	var names []string
	for _, sub := range c.Commands() {
		for _, n := range append([]string{sub.Name()}, sub.Aliases...) {
			if sub.IsAvailableCommand() && is[n] == "" {
				is[n] = sub.Name()
				names = append(names, n)
			}
		}
	}
	for _, sub := range c.Commands() {
		for _, below := range sub.Commands() {
			if below.Name() == name {
				out = append(out, below.CommandPath())
			}
		}
	}
	near := document.Nearest(name, names)
	switch {
	case len(out) > 0 && len(out) <= 3: // of "list" there are many
		return out
	case near != "":
		return []string{is[near]}
	}
	return nil
}

// flagError is what is wrong with a flag, in words without the names of a program's parts.
func flagError(c *cobra.Command, err error) error {
	var none *pflag.NotExistError
	var value *pflag.ValueRequiredError
	var invalid *pflag.InvalidValueError
	var syntax *pflag.InvalidSyntaxError
	switch {
	case errors.As(err, &none):
		return noFlag(c, none)
	case errors.As(err, &value):
		return app.Usage(c, "%s needs a value", flagName(value.GetFlag(), value.GetSpecifiedShortnames()))
	case errors.As(err, &invalid):
		return app.Usage(c, "%s %q %s", flagName(invalid.GetFlag(), ""), invalid.GetValue(), wants(invalid))
	case errors.As(err, &syntax):
		return app.Usage(c, "%q is no flag", syntax.GetSpecifiedFlag())
	}
	return app.Usage(c, "%v", err)
}

func flagName(f *pflag.Flag, short string) string {
	if short != "" && f.Shorthand != "" {
		return "-" + f.Shorthand
	}
	return "--" + f.Name
}

// wants says what a flag takes.
func wants(e *pflag.InvalidValueError) string {
	switch e.GetFlag().Value.Type() {
	case "duration":
		return "is no duration; give one such as 30s, 10m or 2h"
	case "int", "int64", "uint", "uint16", "uint32", "uint64":
		return "is no whole number"
	case "bool":
		return "is neither true nor false"
	}
	return fmt.Sprintf("is refused: %v", e.Unwrap())
}

func noFlag(c *cobra.Command, e *pflag.NotExistError) error {
	name, shorts := e.GetSpecifiedName(), e.GetSpecifiedShortnames()
	said := "--" + name
	if shorts != "" { // -output is read as -o and so on
		said, name = "-"+name, shorts
		if name != e.GetSpecifiedName() {
			said += " in -" + shorts
		}
	}
	var names []string
	c.Flags().VisitAll(func(f *pflag.Flag) {
		if !f.Hidden {
			names = append(names, f.Name)
		}
	})
	name, _, _ = strings.Cut(name, "=")
	near := document.Nearest(name, names)
	if slices.Contains(names, name) {
		near = name
	}
	if near != "" && len(name) > 1 {
		return app.Usage(c, "there is no flag %s; did you mean --%s?", said, near)
	}
	return app.Usage(c, "there is no flag %s", said)
}

// countArgs says which arguments are missing or too many by the names in the command's usage line.
func countArgs(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(c *cobra.Command, given []string) error {
		if check == nil {
			return nil
		}
		err := check(c, given)
		if err == nil {
			return nil
		}
		wanted := argNames(c.Use)
		switch {
		case len(given) < len(wanted):
			return app.Misused(c, "%s", missing(wanted[len(given):]))
		case len(given) > len(argWords(c.Use)):
			return app.Misused(c, "%q is one argument too many", given[len(argWords(c.Use))])
		}
		return app.Misused(c, "%v", err)
	}
}

func missing(names []string) string {
	if len(names) == 1 {
		return names[0] + " is missing"
	}
	return strings.Join(names[:len(names)-1], ", ") + " and " + names[len(names)-1] + " are missing"
}

// argNames are the arguments that a usage line names as needed: words in capitals that are neither optional nor a flag's value.
func argNames(use string) (out []string) {
	words := strings.Fields(use)
	for i, w := range words {
		capital := strings.IndexFunc(w, func(r rune) bool { return !unicode.IsUpper(r) && r != '…' }) < 0
		if i > 0 && capital && (words[i-1] == "--" || !strings.HasPrefix(words[i-1], "-")) {
			out = append(out, w)
		}
	}
	return out
}

// needed are the flags that a command can't do without.
func needed(c *cobra.Command) error {
	var names []string
	c.Flags().VisitAll(func(f *pflag.Flag) {
		if len(f.Annotations[cobra.BashCompOneRequiredFlag]) > 0 && !f.Changed {
			names = append(names, "--"+f.Name)
		}
	})
	if len(names) == 0 {
		return nil
	}
	return app.Misused(c, "%s", missing(names))
}

// flagAlias lets flags be spelt in the other of the two usual ways.
func flagAlias(_ *pflag.FlagSet, name string) pflag.NormalizedName {
	return pflag.NormalizedName(strings.ReplaceAll(name, "license", "licence"))
}

// globals checks the flags every command has.
func globals(a *app.App, c *cobra.Command) error {
	if a.Output == "wide" {
		a.Output, a.Wide = "table", true
	}
	if !slices.Contains([]string{"table", "json", "yaml", "name"}, a.Output) {
		return app.Usage(c, "-o %s: want table, wide, json, yaml or name", a.Output)
	}
	if a.Timeout < leastTimeout || a.Timeout > mostTimeout {
		return app.Usage(c, "--timeout %v: want 1ms to 24h", a.Timeout)
	}
	return needed(c)
}
