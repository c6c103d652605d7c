package snapshot

import (
	"errors"
	"strings"
	"testing"

	"hardnode.dev/internal/testkit/golden"
	"hardnode.dev/internal/wire"
)

func TestGolden(t *testing.T) {
	golden.Wire[Ask](t, "ask")
	golden.Wire[Answer](t, "answer")
	golden.Wire[Schedule](t, "schedule")
}

func TestValidate(t *testing.T) {
	for _, a := range []Ask{{Action: List}, {Action: Take, Note: "before the update"}, {Action: Restore, ID: "20261127-101502"},
		{Action: Delete, ID: "20261127-101502-2"}, {Action: Prune, Rule: Rule{Daily: 7}}} {
		if err := a.Validate(); err != nil {
			t.Errorf("%+v: %v", a, err)
		}
	}
	for _, c := range []struct {
		a    Ask
		want string
	}{
		{Ask{}, "not known"},
		{Ask{Action: "explode"}, "not known"},
		{Ask{Action: Restore}, "snapshot"},
		{Ask{Action: Restore, ID: "../../data"}, "snapshot"},
		{Ask{Action: Delete, ID: "new-20261127"}, "want one that is listed"},
		{Ask{Action: Delete, ID: ID("2" + strings.Repeat("0", 60))}, "snapshot"},
		{Ask{Action: Take, Note: "a\nb"}, "one line"},
		{Ask{Action: Take, Note: strings.Repeat("x", MaxNote+1)}, "at most 200"},
		{Ask{Action: Prune}, "keeps none"},
		{Ask{Action: Prune, Rule: Rule{Hourly: -1}}, "hourly -1"},
		{Ask{Action: Prune, Rule: Rule{Weekly: 65}}, "weekly 65"},
	} {
		if err := c.a.Validate(); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: got %v, want %q", c.a, err, c.want)
		}
	}
}

func TestValidateSnapshot(t *testing.T) {
	good := Snapshot{ID: "20261127-101502", Note: "n", Said: "s", Generation: 1, Before: "20261127-101501",
		Image: wire.Digest("sha256:" + strings.Repeat("0", 64))}
	if err := errors.Join((*Snapshot)(nil).Validate(), good.Validate()); err != nil {
		t.Error(err)
	}
	for want, change := range map[string]func(*Snapshot){
		"listed":          func(s *Snapshot) { s.ID = "../x" },
		`snapshot "x"`:    func(s *Snapshot) { s.Before = "x" },
		"digest":          func(s *Snapshot) { s.Image = "x" },
		"notes of one":    func(s *Snapshot) { s.Note = "a\nb" },
		"200 bytes":       func(s *Snapshot) { s.Said = strings.Repeat("x", MaxNote+1) },
		"no negative num": func(s *Snapshot) { s.Generation = -1 },
		"negative":        func(s *Snapshot) { s.Pause = -1 },
	} {
		s := good
		change(&s)
		if err := s.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

func TestBytes(t *testing.T) {
	if got := (Snapshot{Parts: []Part{{Bytes: 5}, {Volume: "data", Bytes: 7}}}).Bytes(); got != 12 {
		t.Errorf("got %d, want 12", got)
	}
}
