package nodecall

import (
	"strings"
	"testing"

	"hardnode.dev/internal/testkit/golden"
)

func TestGolden(t *testing.T) {
	golden.Wire[Ask](t, "ask")
	golden.Wire[Sample](t, "sample")
}

func TestValidate(t *testing.T) {
	for _, c := range []struct {
		ask  Ask
		want string
	}{
		{Ask{}, "0 parts"},
		{Ask{Restart: &Restart{}, Top: &Top{}}, "2 parts"},
		{Ask{Restart: &Restart{}}, ""},
		{Ask{Forward: &Forward{}}, "port 0"},
		{Ask{Forward: &Forward{Port: 80}}, ""},
		{Ask{Top: &Top{Every: 61}}, "want 1 to 60"},
		{Ask{Top: &Top{Every: -1}}, "want 1 to 60"},
		{Ask{Top: &Top{Count: -1}}, "-1 samples"},
		{Ask{Top: &Top{Count: 2}}, ""},
	} {
		err := c.ask.Validate()
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%+v: got %v, want %q", c.ask, err, c.want)
		}
	}
}
