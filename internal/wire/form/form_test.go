package form

import (
	"reflect"
	"testing"
)

func TestForm(t *testing.T) {
	f := New(`^a(b+)$`)
	for _, c := range []struct {
		text string
		want []string
	}{
		{"abb", []string{"abb", "bb"}},
		{"a", nil},
	} {
		if got := f.FindStringSubmatch(c.text); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%q: got %q, want %q", c.text, got, c.want)
		}
		if got := f.MatchString(c.text); got != (c.want != nil) {
			t.Errorf("%q: matches %v", c.text, got)
		}
	}
}

func TestReplace(t *testing.T) {
	f := New(`a(b+)`)
	const text = "xabbyab"
	if got := f.ReplaceAllString(text, "<$1>"); got != "x<bb>y<b>" {
		t.Errorf("got %q", got)
	}
	if got := f.ReplaceAll([]byte(text), []byte("<$1>")); string(got) != "x<bb>y<b>" {
		t.Errorf("got %q", got)
	}
	if got := f.FindString(text); got != "abb" {
		t.Errorf("got %q", got)
	}
	if got := f.FindAllStringSubmatch(text, -1); !reflect.DeepEqual(got, [][]string{{"abb", "bb"}, {"ab", "b"}}) {
		t.Errorf("got %q", got)
	}
}

func TestNothingIsCompiledBeforeItIsNeeded(t *testing.T) {
	f := New(`(`) // would panic
	defer func() {
		if recover() == nil {
			t.Error("a faulty form was used without a panic")
		}
	}()
	f.MatchString("")
}
