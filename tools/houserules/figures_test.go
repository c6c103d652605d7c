package houserules

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var (
	figureRun   = regexp.MustCompile(`PKG=\./(\S+) RUN=(\w+)`)
	figureGuest = regexp.MustCompile(`(?:container\(|GUEST_RUN=)'?([\w|\\]+)`)
)

// TestFiguresAreMeasured: each command of tools/docs/figures.md names tests that exist; a name may be the beginning of several.
func TestFiguresAreMeasured(t *testing.T) {
	root, files := repository(t)
	text, err := os.ReadFile(filepath.Join(root, "tools/docs/figures.md"))
	if err != nil {
		t.Fatal(err)
	}
	has := func(folder, name string) bool {
		return slices.ContainsFunc(files, func(f file) bool {
			return f.test() && within(f.path, folder) && strings.Contains(f.text, "\nfunc "+name)
		})
	}
	rows := 0
	for line := range strings.Lines(string(text)) {
		cells := strings.Split(strings.ReplaceAll(line, `\|`, `\`), "|")
		if len(cells) < 5 || !strings.Contains(cells[4], "`make ") && !strings.Contains(cells[4], " make ") {
			continue
		}
		rows++
		for _, m := range figureRun.FindAllStringSubmatch(cells[4], -1) {
			if !has(m[1], m[2]) {
				t.Errorf("figures.md: %s has no %s: %s", m[1], m[2], strings.TrimSpace(cells[4]))
			}
		}
		for _, m := range figureGuest.FindAllStringSubmatch(cells[4], -1) {
			for name := range strings.SplitSeq(m[1], `\`) {
				if !has("agent", name) {
					t.Errorf("figures.md: no test of the guest is %s: %s", name, strings.TrimSpace(cells[4]))
				}
			}
		}
	}
	if rows < 15 {
		t.Errorf("figures.md has %d rows with a command", rows)
	}
}
