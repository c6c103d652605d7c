package host

import (
	"strings"
	"testing"
)

func TestSystemValidate(t *testing.T) {
	good := func() System {
		return System{Version: 1, Revision: 7, Release: "1.4.0", Step: Switch, Order: "o1", By: "admin"}
	}
	if s := good(); s.Validate() != nil || !s.Wanted() {
		t.Errorf("%+v: %v", s, s.Validate())
	}
	var none *System
	if back := (System{Version: 1, Revision: 8}); back.Validate() != nil || back.Wanted() || none.Wanted() {
		t.Errorf("an order that was taken back: %v", back.Validate())
	}
	if s := good(); func() bool { s.Step = "explode"; return s.Validate() != nil }() {
		t.Error("a step of a later version is an error")
	}
	for _, c := range []struct {
		want   string // a part of the error
		change func(*System)
	}{
		{"version 2", func(s *System) { s.Version = 2 }},
		{"revision -1", func(s *System) { s.Revision = -1 }},
		{"withinSec: 29", func(s *System) { s.WithinSec = 29 }},
		{"withinSec: 7201", func(s *System) { s.WithinSec = 7201 }},
		{"order", func(s *System) { s.Order = "" }},
		{"release", func(s *System) { s.Release = strings.Repeat("1", 201) }},
		{"reason", func(s *System) { s.Reason = "two\nlines" }},
	} {
		s := good()
		if c.change(&s); s.Validate() == nil || !strings.Contains(s.Validate().Error(), c.want) {
			t.Errorf("got %v, want an error with %q", s.Validate(), c.want)
		}
	}
	if _, err := DecodeAssignment(strings.NewReader(`{"system":{"version":1,"revision":3,"release":"1.0.0"}}`)); err == nil {
		t.Error("an assignment with an order that has no name is taken")
	}
}
