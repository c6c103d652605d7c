package app

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"hardnode.dev/internal/wire/operator"
)

// TestExplain: an error without a reason still says something, and none ends in a colon.
func TestExplain(t *testing.T) {
	for _, c := range []struct {
		err  error
		want string
	}{
		{operator.NewProblem(operator.Internal, "hosts/h", "", ""), "hosts/h"},
		{operator.NewProblem(operator.Internal, "", "", "try again"), "Internal Server Error\n  next: try again"},
		{&operator.Problem{Next: "try again"}, "it failed and gave no reason\n  next: try again"},
		{operator.NewProblem(operator.Invalid, "a", "wrong", "b"), "a: wrong\n  next: b"},
		{fmt.Errorf("read x: %w", errors.New("")), "read x"},
		{WithCode(2, errors.New("open x: \n")), "open x"},
		{fmt.Errorf("a: %w", operator.NewProblem(operator.Invalid, "b", "", "")), "a: b"},
		{errors.New(": "), "it failed and gave no reason"},
	} {
		got := Explain(c.err)
		if got != c.want || strings.HasSuffix(got, ":") {
			t.Errorf("%q: got %q, want %q", c.err, got, c.want)
		}
	}
}
