package console

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestRepeats(t *testing.T) {
	const s = time.Second
	type line struct {
		at   time.Duration
		text string // "" asks what is due
	}
	long := strings.Repeat("é", 300)
	for _, c := range []struct {
		name  string
		lines []line
		want  []string
	}{
		{"different lines", []line{{0, "a"}, {s, "b"}, {2 * s, "c"}}, []string{"a", "b", "c"}},
		{"another line tells the count", []line{{0, "a"}, {s, "a"}, {2 * s, "a"}, {3 * s, "b"}}, []string{"a", "repeated 2 times: a", "b"}},
		{"once", []line{{0, "a"}, {s, "a"}, {2 * s, "b"}}, []string{"a", "repeated once: a", "b"}},
		{"time tells the count", []line{{0, "a"}, {s, "a"}, {2 * s, "a"}, {29 * s, ""}, {30 * s, ""}, {31 * s, ""}},
			[]string{"a", "repeated 2 times: a"}},
		{"a line tells what is due, and counts itself", []line{{0, "a"}, {s, "a"}, {40 * s, "a"}, {100 * s, ""}},
			[]string{"a", "repeated once: a", "repeated once: a"}},
		{"in turn", []line{{0, "a"}, {0, "b"}, {s, "a"}, {s, "b"}, {2 * s, "a"}, {2 * s, "b"}, {30 * s, ""}},
			[]string{"a", "b", "repeated 2 times: a", "repeated 2 times: b"}},
		{"after a while it is news again", []line{{0, "a"}, {31 * s, "a"}}, []string{"a", "a"}},
		{"a long line's head", []line{{0, long}, {s, long}, {30 * s, ""}},
			[]string{long, "repeated once: " + strings.Repeat("é", headLen) + "..."}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var r Repeats
			var got []string
			for _, l := range c.lines {
				if l.text == "" {
					got = append(got, r.Due(l.at)...)
				} else {
					got = append(got, r.Add(l.at, l.text)...)
				}
			}
			if !reflect.DeepEqual(got, c.want) {
				t.Errorf("got  %q\nwant %q", got, c.want)
			}
		})
	}
}

// A line that comes each second for an hour is told less and less often, none of it is lost, and nothing grows.
func TestRepeatsForAnHour(t *testing.T) {
	var r Repeats
	shown, total := 0, 0
	take := func(lines []string) {
		for _, l := range lines {
			n := 1
			fmt.Sscanf(l, "repeated %d times", &n)
			shown, total = shown+1, total+n
		}
	}
	for sec := range 3600 {
		take(r.Add(time.Duration(sec)*time.Second, "no time server answers"))
	}
	take(r.Rest())
	if total != 3600 || shown > 15 {
		t.Errorf("%d of 3600 lines are accounted for, in %d", total, shown)
	}
	for i := range 1000 {
		r.Add(time.Hour, fmt.Sprint(i))
	}
	if len(r.seen) > keep || len(r.Rest()) != 0 {
		t.Errorf("%d lines are remembered", len(r.seen))
	}
}

// What init itself says is an event each time: a service that is killed twice is seen twice, at once. Only a line that comes again and
// again is counted.
func TestRepeatsOfEvents(t *testing.T) {
	r := Repeats{last: true}
	var got []string
	for i, l := range []string{"killed", "ready", "killed", "ready", "ready", "ready", "killed"} {
		got = append(got, r.Add(time.Duration(i)*time.Second, l)...)
	}
	want := []string{"killed", "ready", "killed", "ready", "repeated 2 times: ready", "killed"}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}
