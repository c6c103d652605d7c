package talk

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// MaxLine is the longest line that is taken, in bytes: a pasted activation has a few hundred.
const MaxLine = 16 << 10

// split cuts a line into words: at spaces, but not within "…"; \ takes the next character as it is.
func split(line string) (words []string, err error) {
	var word strings.Builder
	in, quoted := false, false
	for i := 0; i < len(line); i++ {
		c := line[i]
		switch {
		case c == '\\' && i+1 < len(line):
			i++
			in = true
			word.WriteByte(line[i])
		case c == '\\':
			return nil, errors.New(`\ at the end of the line: it takes the next character as it is, and there is none`)
		case c == '"':
			in, quoted = true, !quoted
		case (c == ' ' || c == '\t') && !quoted:
			if in {
				words = append(words, word.String())
				word.Reset()
				in = false
			}
		default:
			in = true
			word.WriteByte(c)
		}
	}
	if quoted {
		return nil, errors.New(`a " is open at the end of the line; close it`)
	}
	if in {
		words = append(words, word.String())
	}
	return words, nil
}

// args are the words behind a command's name.
type args struct {
	words []string
	flags map[string]string
}

// bare are the flags that have no value.
var bare = []string{"json", "dry-run", "yes", "reboot", "all"}

// parse takes the flags, --name=value, --name value or --name, out of the words; behind -- none is one.
func parse(words []string, known []string) (a args, err error) {
	a.flags = map[string]string{}
	for i := 0; i < len(words); i++ {
		text, flag := strings.CutPrefix(words[i], "--")
		if flag && text == "" {
			a.words = append(a.words, words[i+1:]...)
			break
		}
		if !flag {
			a.words = append(a.words, words[i])
			continue
		}
		name, value, given := strings.Cut(text, "=")
		if !slices.Contains(known, name) {
			return a, fmt.Errorf("--%s is not known here; %s", name, flagsOf(known))
		}
		if _, twice := a.flags[name]; twice {
			return a, fmt.Errorf("--%s is there twice", name)
		}
		switch {
		case slices.Contains(bare, name) && given:
			return a, fmt.Errorf("--%s takes no value", name)
		case slices.Contains(bare, name):
		case !given && i+1 == len(words):
			return a, fmt.Errorf("--%s wants a value", name)
		case !given:
			i++
			value = words[i]
		}
		a.flags[name] = value
	}
	return a, nil
}

func flagsOf(known []string) string {
	if len(known) == 0 {
		return "it takes none"
	}
	return "it takes --" + strings.Join(known, ", --")
}

func (a args) has(flag string) bool { _, ok := a.flags[flag]; return ok }

// number is a flag's value, or otherwise.
func (a args) number(flag string, otherwise int) (int, error) {
	text, ok := a.flags[flag]
	if !ok {
		return otherwise, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 {
		return 0, fmt.Errorf("--%s %s: want a number", flag, text)
	}
	return n, nil
}
