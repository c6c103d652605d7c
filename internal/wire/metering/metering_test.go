package metering

import (
	"strings"
	"testing"

	"hardnode.dev/internal/testkit/golden"
	"hardnode.dev/internal/wire/operator"
)

func TestGolden(t *testing.T) {
	golden.Wire[Hosts](t, "hosts")
	golden.Wire[Question](t, "question")
}

func TestValidate(t *testing.T) {
	good := Question{From: 3600, To: 7200, Step: operator.SpanHour, By: operator.ByNode}
	for _, c := range []struct {
		change func(*Question)
		want   string
	}{
		{func(*Question) {}, ""},
		{func(q *Question) { q.To = 3600 + MostDays*86400 }, ""},
		{func(q *Question) { q.To = 7200 + MostDays*86400 }, "want 366 days at most"},
		{func(q *Question) { q.From = -3600 }, "begins of hours"},
		{func(q *Question) { q.From = 1 }, "begins of hours"},
		{func(q *Question) { q.To = 7201 }, "begins of hours"},
		{func(q *Question) { q.To = 3600 }, "want a time after 1970-01-01T01:00:00Z"},
		{func(q *Question) { q.Step = "minute" }, `step "minute": want hour, day, month or all`},
		{func(q *Question) { q.By = "" }, `by "": want account`},
		{func(q *Question) { q.By = "account environment" }, "want account"},
		{func(q *Question) { q.Node = -1 }, "node -1"},
	} {
		q := good
		c.change(&q)
		if err := q.Validate(); (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v, want %q", q, err, c.want)
		}
	}
}
