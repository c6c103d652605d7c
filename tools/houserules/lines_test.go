package houserules

import (
	"go/ast"
	"go/token"
	"strings"
	"testing"
	"unicode/utf8"
)

// TestLinesFit: a line is seen whole in two windows beside each other. Wider may be what is generated, what stands in a raw string (data
// of tests, tags, texts as they are printed), and an address (URL), which nobody can cut.
func TestLinesFit(t *testing.T) {
	_, files := repository(t)
	for _, f := range files {
		if f.generated() {
			continue
		}
		raw := f.raw()
		for i, line := range strings.Split(f.text, "\n") {
			if n := columns(line); n > lineLimit && !raw[i+1] && !strings.Contains(longestWord(line), "://") {
				t.Errorf("%s:%d has %d columns, the limit is %d (a tab counts as %d)", f.path, i+1, n, lineLimit, lineTab)
			}
		}
	}
}

// raw is the lines that hold a raw string or a part of one.
func (f file) raw() map[int]bool {
	lines := map[int]bool{}
	ast.Inspect(f.syntax, func(n ast.Node) bool {
		if s, ok := n.(*ast.BasicLit); ok && s.Kind == token.STRING && strings.HasPrefix(s.Value, "`") {
			for l := f.set.Position(s.Pos()).Line; l <= f.set.Position(s.End()).Line; l++ {
				lines[l] = true
			}
		}
		return true
	})
	return lines
}

func columns(line string) int {
	return utf8.RuneCountInString(line) + (lineTab-1)*strings.Count(line, "\t")
}

func longestWord(line string) string {
	longest := ""
	for _, w := range strings.Fields(line) {
		if len(w) > len(longest) {
			longest = w
		}
	}
	return longest
}
