package client

import (
	"slices"
	"strings"
	"testing"
)

func TestReadEvents(t *testing.T) {
	for _, c := range []struct {
		name, stream string
		want         []string
	}{
		{"two", "data: a\n\ndata: b\n\n", []string{"a", "b"}},
		{"fields and comments", ": hi\nid: 7\nevent: operation\ndata:a\n\n: still here\n\n", []string{"a"}},
		{"several lines", "data: a\ndata: b\n\n", []string{"a\nb"}},
		{"carriage returns", "data: a\r\n\r\n", []string{"a"}},
		{"cut off inside", "data: a\n\ndata: b\n", []string{"a"}},
		{"no data", "event: x\n\n", nil},
		{"stop", "data: a\n\ndata: stop\n\ndata: c\n\n", []string{"a", "stop"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var got []string
			err := readEvents(strings.NewReader(c.stream), func(data []byte) bool {
				got = append(got, string(data))
				return string(data) != "stop"
			})
			if err != nil || !slices.Equal(got, c.want) {
				t.Errorf("got %q, %v; want %q", got, err, c.want)
			}
		})
	}
	if err := readEvents(strings.NewReader("data: "+strings.Repeat("x", maxEvent+1)), func([]byte) bool { return true }); err == nil {
		t.Error("an endless line was read")
	}
}

func FuzzReadEvents(f *testing.F) {
	f.Add("data: a\n\ndata: b\n\n")
	f.Fuzz(func(t *testing.T, s string) {
		readEvents(strings.NewReader(s), func(data []byte) bool {
			if len(data) > len(s) {
				t.Errorf("%d bytes of data from a stream of %d", len(data), len(s))
			}
			return true
		})
	})
}
