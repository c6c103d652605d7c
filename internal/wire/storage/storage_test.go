package storage

import (
	"strings"
	"testing"

	"hardnode.dev/internal/testkit/golden"
	"hardnode.dev/internal/wire/install"
)

func TestGolden(t *testing.T) {
	golden.Wire[Ask](t, "ask")
	golden.Wire[Status](t, "status")
}

func TestValidate(t *testing.T) {
	if err := (Replace{Disk: install.Rule{Serial: "S*"}, Wipe: "/dev/sdb"}).Validate(); err != nil {
		t.Error(err)
	}
	for want, r := range map[string]Replace{"disk.path": {Disk: install.Rule{Path: "sdb"}}, "wipe": {Wipe: "yes"}} {
		if err := r.Validate(); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%+v: got %v, want %q", r, err, want)
		}
	}
}

func TestAcknowledge(t *testing.T) {
	if err := (Acknowledge{Disk: "/dev/sda", Errors: 1}).Validate(); err != nil {
		t.Error(err)
	}
	for want, a := range map[string]Acknowledge{`disk "": want`: {Errors: 1}, `disk "sda": want`: {Disk: "sda", Errors: 1},
		`disk "/dev/../x": want`: {Disk: "/dev/../x", Errors: 1}, "errors: 0: want": {Disk: "/dev/sda"},
		"errors: -1: want": {Disk: "/dev/sda", Errors: -1}} {
		if err := a.Validate(); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%+v: got %v, want %q", a, err, want)
		}
	}
}

func TestLine(t *testing.T) {
	for want, s := range map[string]Status{
		"whole":                                 {State: Whole},
		"degraded: disk /dev/sdb is gone":       {State: Degraded, Reason: "disk /dev/sdb is gone"},
		"filling: 2 of 2: copy DATA, 40 %":      {State: Filling, Steps: []string{"partition", "copy DATA"}, Step: 2, Percent: 40},
		"filling: 1 of 2: partition":            {State: Filling, Steps: []string{"partition", "copy DATA"}, Step: 1},
		"filling: it is not whole yet; wait":    {State: Filling, Reason: "it is not whole yet; wait"},
		"degraded: the reason goes before step": {State: Degraded, Reason: "the reason goes before step", Step: 1},
	} {
		if got := s.Line(); got != want {
			t.Errorf("%+v: %q, want %q", s, got, want)
		}
	}
}
