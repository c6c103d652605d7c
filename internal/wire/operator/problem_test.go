package operator

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestCodesAndStatusesAreOneToOne(t *testing.T) {
	seen := map[int]Code{}
	for c, s := range statusOf {
		if other, twice := seen[s]; twice {
			t.Errorf("%s and %s share status %d", c, other, s)
		}
		seen[s] = c
		if CodeOf(s) != c {
			t.Errorf("CodeOf(%d) is %s, want %s", s, CodeOf(s), c)
		}
	}
	for status, want := range map[int]Code{400: Invalid, 401: Denied, 412: Conflict, 502: Internal} {
		if got := CodeOf(status); got != want {
			t.Errorf("CodeOf(%d) is %s, want %s", status, got, want)
		}
	}
}

func TestAsProblem(t *testing.T) {
	p := NewProblem(NotFound, "environments/x", "there is no such environment", "hnctl env list")
	if got := AsProblem(fmt.Errorf("show: %w", p)); got != p {
		t.Errorf("got %v", got)
	}
	if got := AsProblem(errors.New("dial unix /secret")); got.Code != Internal || strings.Contains(got.Error(), "secret") {
		t.Errorf("an inner error reached the person: %v", got)
	}
	for _, c := range []struct{ object, reason, want string }{{"a", "", "a (b)"}, {"", "c", "c (b)"},
		{"", "", "Conflict (b)"}} { // no colon with nothing behind it
		if got := NewProblem(Conflict, c.object, c.reason, "b").Error(); got != c.want {
			t.Errorf("got %q, want %q", got, c.want)
		}
	}
	if want := "environments/x: there is no such environment (hnctl env list)"; p.Error() != want {
		t.Errorf("got %q, want %q", p.Error(), want)
	}
}

// What a person gets is one form with one media type and the problem's own status; an error that is none is not shown.
func TestWriteProblem(t *testing.T) {
	conflict := NewProblem(Conflict, "environments/hello", "it has revision 8 now", "read it again")
	conflict.Status = http.StatusPreconditionFailed
	for _, c := range []struct {
		err    error
		status int
		code   Code
		reason string
	}{
		{conflict, 412, Conflict, "it has revision 8 now"},
		{fmt.Errorf("while storing: %w", conflict), 412, Conflict, "it has revision 8 now"},
		{errors.New("open /data/key: permission denied"), 500, Internal, "something went wrong inside the orchestrator"},
	} {
		w := httptest.NewRecorder()
		WriteProblem(w, c.err)
		var p Problem
		if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil {
			t.Fatal(err)
		}
		if w.Code != c.status || w.Header().Get("Content-Type") != ProblemType || p.Status != c.status || p.Code != c.code ||
			p.Reason != c.reason {
			t.Errorf("%v: %d %s", c.err, w.Code, w.Body)
		}
	}
}
