package container

import (
	"fmt"
	"testing"
	"time"

	"hardnode.dev/agent/spawner/ring"
	"hardnode.dev/internal/wire/host"
)

// TestLogs: lines come with their stream, from the time that was asked for, with their times when those were asked for.
func TestLogs(t *testing.T) {
	r := &Runtime{}
	r.opts.DataDir = t.TempDir()
	now := time.Unix(1000, 0)
	w, err := ring.Open(r.LogDir(101), func() time.Time { now = now.Add(time.Second); return now })
	if err != nil {
		t.Fatal(err)
	}
	began := now // Open looked once
	for i, s := range []ring.Stream{ring.Stdout, ring.Stderr, ring.Stdout, ring.Host} {
		if err := w.Line(s, fmt.Appendf(nil, "line %d", i)); err != nil {
			t.Fatal(err)
		}
	}
	w.Close()
	for _, c := range []struct {
		spec host.LogsSpec
		want string
	}{
		{host.LogsSpec{}, "[out line 0 err line 1 out line 2 err line 3]"},
		{host.LogsSpec{Since: began.Add(3 * time.Second)}, "[out line 2 err line 3]"},
		{host.LogsSpec{Since: began.Add(2 * time.Second), Tail: 1}, "[err line 3]"},
		{host.LogsSpec{Since: began.Add(time.Hour)}, "[]"},
		{host.LogsSpec{Tail: 1, Times: true}, "[err 1970-01-01T00:16:45.000000Z line 3]"},
	} {
		var got []string
		if err := r.Logs(t.Context(), 101, c.spec, func(stderr bool, text []byte) error {
			got = append(got, map[bool]string{false: "out ", true: "err "}[stderr]+string(text))
			return nil
		}); err != nil || fmt.Sprint(got) != c.want {
			t.Errorf("%+v: got %v, %v; want %s", c.spec, got, err, c.want)
		}
	}
}
