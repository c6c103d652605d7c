package plain

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
)

// hostile is what a container may write to take a terminal over: colours, titles, queries, C1 codes, other encodings.
const hostile = "a\x1b[2Jb\x07\x1b]0;t\x07\u009b6nc\x9b5nd\u202ee\tf\r\ng\x7f"

func printable(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r < 0x20 || r > 0x7e })
}

func TestLine(t *testing.T) {
	if got, want := Line(hostile), "a?[2Jb??]0;t??6nc?5nd?e f  g?"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestWrap(t *testing.T) {
	for _, c := range []struct {
		text  string
		width int
		want  []string
	}{
		{"", 10, []string{""}},
		{"one two three", 0, []string{"one two three"}},
		{"one two three", 8, []string{"one two", "three"}},
		{"one two three", 7, []string{"one two", "three"}},
		{"abcdefghij", 4, []string{"abcd", "efgh", "ij"}},
		{"a\x1bb c", 3, []string{"a?b", "c"}},
	} {
		if got := Wrap(c.text, c.width); !slices.Equal(got, c.want) {
			t.Errorf("%q at %d: got %q, want %q", c.text, c.width, got, c.want)
		}
	}
	for width, want := range map[int]string{0: "", 2: "..", 5: "ab...", 8: "abcdefgh", 9: "abcdefgh"} {
		if got := Clip("abcdefgh", width); got != want {
			t.Errorf("clip at %d: got %q, want %q", width, got, want)
		}
	}
}

func FuzzPlain(f *testing.F) {
	f.Add(hostile, 7)
	f.Add("\U0001F600 and so on", 3)
	f.Fuzz(func(t *testing.T, s string, width int) {
		width = min(max(width, 0), 200)
		for _, l := range append(Wrap(s, width), Line(s), Clip(s, width)) {
			if !printable(l) {
				t.Errorf("%q came through in %q", s, l)
			}
		}
		if width > 0 && slices.ContainsFunc(Wrap(s, width), func(l string) bool { return len(l) > width }) {
			t.Errorf("%q is wider than %d", Wrap(s, width), width)
		}
		raw, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		var want, got string
		if err := json.Unmarshal(raw, &want); err != nil {
			t.Fatal(err)
		}
		text := JSON(raw)
		if err := json.Unmarshal([]byte(text), &got); err != nil || got != want || !printable(text) {
			t.Errorf("%q became %s: %q, %v", want, text, got, err)
		}
	})
}
