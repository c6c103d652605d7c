package challenge

import (
	"errors"
	"strings"
	"testing"
)

// TestAnswer: the holder of the key answers, as a person types; another key, another host, another question and a letter less don't.
func TestAnswer(t *testing.T) {
	private, public := NewKey()
	other, _ := NewKey()
	asked, err := Ask(public, "host-1")
	if err != nil {
		t.Fatal(err)
	}
	again, err := Ask(public, "host-1")
	if err != nil || again.Text == asked.Text || len(asked.Text) != 52 {
		t.Fatalf("asked twice: %s, %s, %v", asked.Text, again.Text, err)
	}
	answer := func(key, host, text string) string {
		t.Helper()
		a, err := Answer(key, host, text)
		if err != nil || len(a) != 14 {
			t.Fatalf("answer %q, %v", a, err)
		}
		return a
	}
	right := answer(private+"\n", "host-1", strings.ToLower(asked.Text[:26])+" "+asked.Text[26:])
	for _, c := range []struct {
		typed string
		want  bool
	}{
		{right, true}, {strings.ToLower(strings.ReplaceAll(right, "-", " ")), true}, {strings.ReplaceAll(right, "-", ""), true},
		{"", false}, {right[:13], false}, {right + "A", false},
		{answer(other, "host-1", asked.Text), false}, {answer(private, "host-2", asked.Text), false},
		{answer(private, "host-1", again.Text), false},
	} {
		if got := asked.Is(c.typed); got != c.want {
			t.Errorf("%q: %v, want %v", c.typed, got, c.want)
		}
	}
}

func TestForms(t *testing.T) {
	private, public := NewKey()
	if err := Public(public); err != nil {
		t.Error(err)
	}
	small := "hncp1." + strings.Repeat("A", 52) // the point of order one: whoever asks would share a secret with everybody
	for _, key := range []string{"", private, public[:57], public + "A", strings.ToLower(public), "hncp1.", small} {
		if _, err := Ask(key, "h"); !errors.Is(err, ErrPublic) {
			t.Errorf("%q: %v", key, err)
		}
	}
	for _, c := range []struct{ private, text string }{{public, strings.Repeat("A", 52)}, {private[:50], strings.Repeat("A", 52)},
		{private, "ABC"}, {private, strings.Repeat("1", 52)}, {private, strings.Repeat("A", 52)}, {"", ""}} {
		if a, err := Answer(c.private, "h", c.text); err == nil {
			t.Errorf("%q, %q: answered %s", c.private, c.text, a)
		} else if strings.Contains(err.Error(), "hncs1."+"A") {
			t.Error("a private key is in the error")
		}
	}
}
