package trust

import (
	"strings"
	"testing"
)

func TestPath(t *testing.T) {
	hundred := strings.Repeat("x", 100)
	for _, path := range []string{"a", "0", "host.efi", "Z/9._+-/b/c", strings.Join([]string{hundred, hundred, hundred, hundred}, "/")} {
		if !isPath(path) {
			t.Errorf("%q is none", path)
		}
	}
	for _, path := range []string{"", "/a", "a/", "a//b", "a/b/c/d/e", ".a", "a/..", "-a", "a/+",
		"a b", "a\n", "a\x00", "\xff", "é", "aé", "a\\b", hundred + "x", "a/" + hundred + "x"} {
		if isPath(path) {
			t.Errorf("%q is one", path)
		}
	}
}
