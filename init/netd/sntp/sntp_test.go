package sntp

import (
	"testing"
	"time"
)

func TestMove(t *testing.T) {
	now, floor := time.Unix(1_000_000, 0), time.Unix(999_000, 0)
	for _, c := range []struct {
		name   string
		offset time.Duration
		want   time.Time
		ok     bool
	}{
		{"close enough", 50 * time.Millisecond, now, false},
		{"behind", time.Hour, now.Add(time.Hour), true},
		{"ahead", -time.Minute, now.Add(-time.Minute), true},
		{"a server from before the build", -time.Hour, now.Add(-time.Hour), false},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got, ok := move(now, c.offset, floor); !got.Equal(c.want) || ok != c.ok {
				t.Errorf("got %v, %v; want %v, %v", got, ok, c.want, c.ok)
			}
		})
	}
}

func TestKeepWithoutServersEnds(t *testing.T) {
	if err := Keep(t.Context(), nil, nil, time.Time{}, nil, nil); err != nil {
		t.Error(err)
	}
}
