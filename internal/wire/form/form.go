// Package form holds regular expressions that are compiled when they are first needed.
//
// Owns: the moment of compiling: a program that boots with the host must not pay for forms it may never meet.
// In: an expression, as a package's variable.
// Out: matches.
// Never: compiles at start, or compiles twice.
package form

import (
	"regexp"
	"sync"
)

// Form is a regular expression to be compiled. New makes one; a faulty expression panics at its first use.
type Form struct {
	compiled func() *regexp.Regexp
	expr     string
}

// New takes the expression and does nothing yet.
func New(expr string) Form {
	return Form{sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(expr) }), expr}
}

// String is the expression.
func (f Form) String() string { return f.expr }

// MatchString tells whether s has the form.
func (f Form) MatchString(s string) bool { return f.compiled().MatchString(s) }

// ReplaceAllString is s with by in the place of each match (regexp.Regexp.ReplaceAllString).
func (f Form) ReplaceAllString(s, by string) string { return f.compiled().ReplaceAllString(s, by) }

// ReplaceAll is text with by in the place of each match (regexp.Regexp.ReplaceAll).
func (f Form) ReplaceAll(text, by []byte) []byte { return f.compiled().ReplaceAll(text, by) }

// FindAllStringSubmatch is as many matches of s as n says, -1 for all, and those of their groups.
func (f Form) FindAllStringSubmatch(s string, n int) [][]string {
	return f.compiled().FindAllStringSubmatch(s, n)
}

// FindString is the first match of s, or "".
func (f Form) FindString(s string) string { return f.compiled().FindString(s) }

// FindStringSubmatch is s's match and those of the groups, or nil.
func (f Form) FindStringSubmatch(s string) []string { return f.compiled().FindStringSubmatch(s) }
