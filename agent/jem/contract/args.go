package contract

import (
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"hardnode.dev/internal/wire/jem"
)

// Args are a call's arguments, taken apart.
type Args struct {
	Rest    []string // what is no option, in order
	options map[string]string
}

// Parse takes the arguments apart: least to most of them without a name, and options: "--name" and, where the option is written here with a
// blank, "--name VALUE".
func (c *Call) Parse(least, most int, options ...string) (Args, error) {
	a := Args{options: map[string]string{}}
	usage := &jem.Error{Code: "invalid", Next: strings.TrimSpace("use: jem " + c.module.Name + " " + c.action.Name + " " + c.action.Args)}
	wrong := func(format string, args ...any) (Args, error) {
		usage.Reason = fmt.Sprintf(format, args...)
		return Args{}, usage
	}
	for i := 0; i < len(c.Args); i++ {
		arg := c.Args[i]
		if strings.ContainsAny(arg, "\x00\n\r") {
			return wrong("argument %q: has a line break or a zero byte", arg)
		}
		name, isOption := strings.CutPrefix(arg, "--")
		switch {
		case !isOption && strings.HasPrefix(arg, "-") && len(arg) > 1:
			return wrong("option %q: is not known", arg)
		case !isOption:
			a.Rest = append(a.Rest, arg)
		case slices.Contains(options, name):
			a.options[name] = "yes"
		default:
			at := slices.IndexFunc(options, func(o string) bool { return strings.HasPrefix(o, name+" ") })
			if at < 0 || name == "" {
				return wrong("option %q: is not known", arg)
			}
			if i++; i == len(c.Args) {
				return wrong("option %q: needs a value", arg)
			}
			a.options[name] = c.Args[i]
		}
	}
	if len(a.Rest) < least || len(a.Rest) > most {
		return wrong("%d arguments are given, want %s", len(a.Rest), wanted(least, most))
	}
	return a, nil
}

func wanted(least, most int) string {
	if least == most {
		return strconv.Itoa(least)
	}
	return fmt.Sprintf("%d to %d", least, most)
}

// Has tells whether an option was given.
func (a Args) Has(name string) bool { _, ok := a.options[name]; return ok }

// Option is an option's value; "" if it was not given.
func (a Args) Option(name string) string { return a.options[name] }

// Number is an option's value as a number from least to most; instead, if it was not given.
func (a Args) Number(name string, instead, least, most int) (int, error) {
	text, ok := a.options[name]
	if !ok {
		return instead, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < least || n > most {
		return 0, Invalid("--%s %q: want a number from %d to %d", name, text, least, most)
	}
	return n, nil
}

// Path checks an absolute path in the container and gives it clean. The kernel's own trees and the host's are no places for files.
func Path(p string) (string, error) {
	if !filepath.IsAbs(p) || len(p) > 4000 {
		return "", Invalid("path %q: is not absolute", p)
	}
	if slices.Contains(strings.Split(p, "/"), "..") {
		return "", Invalid("path %q: has a \"..\" in it", p)
	}
	p = filepath.Clean(p)
	for _, no := range []string{"/proc", "/sys", "/dev", "/run/hardnode"} {
		if p == no || strings.HasPrefix(p, no+"/") {
			return "", Invalid("path %q: %s is not the container's own", p, no)
		}
	}
	return p, nil
}

// Given reads what the caller sent along: at least a byte, at most limit.
func (c *Call) Given(limit int64) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(c.In, limit+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("read what is sent along: %v", err)
	case len(b) == 0:
		return nil, &jem.Error{Code: "invalid", Reason: "nothing is sent along", Next: "give a file: hnctl jem --input FILE …"}
	case int64(len(b)) > limit:
		return nil, Invalid("what is sent along has more than %d bytes", limit)
	}
	return b, nil
}
