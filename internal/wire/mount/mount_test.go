package mount

import (
	"strings"
	"testing"

	"hardnode.dev/internal/testkit/golden"
)

func TestGolden(t *testing.T) {
	golden.Wire[Mount](t, "mount")
	golden.Wire[Share](t, "share")
}

func TestValidate(t *testing.T) {
	good := Mount{Name: "shared", Path: "/srv/shared", From: 101, Host: "h-0123456789ab", Volume: "data"}
	with := func(change func(*Mount)) []Mount { m := good; change(&m); return []Mount{m} }
	if err := Validate(102, []Mount{good}); err != nil {
		t.Error(err)
	}
	for want, list := range map[string][]Mount{
		"mount: is empty":                 with(func(m *Mount) { m.Name = "" }),
		`"Shared": use lower-case`:        with(func(m *Mount) { m.Name = "Shared" }),
		"not an absolute":                 with(func(m *Mount) { m.Path = "srv" }),
		`path "/" is not`:                 with(func(m *Mount) { m.Path = "/" }),
		`path "/a/../b" is not`:           with(func(m *Mount) { m.Path = "/a/../b" }),
		"want the number of another":      with(func(m *Mount) { m.From = 102 }),
		`host id "": want`:                with(func(m *Mount) { m.Host = "" }),
		`volume "../x": use`:              with(func(m *Mount) { m.Volume = "../x" }),
		"/proc belongs to the host":       with(func(m *Mount) { m.Path = "/proc/x" }),
		"is there twice":                  {good, good},
		"one lies in the other":           append(with(func(m *Mount) { m.Name, m.Path = "other", "/srv" }), good),
		"17 mounts, at most 16":           make([]Mount, 17),
		`mount "shared": volume: is empt`: with(func(m *Mount) { m.Volume = "" }),
	} {
		if err := Validate(102, list); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	share := Share{Volume: "data", To: 102, Host: "h-0123456789ab"}
	if err := ValidateShares(101, []Share{share}); err != nil {
		t.Error(err)
	}
	for want, s := range map[string]Share{
		"volume: is empty":           {To: 102, Host: share.Host},
		"want the number of another": {Volume: "data", To: 101, Host: share.Host},
		"want h- and":                {Volume: "data", To: 102, Host: "x"},
	} {
		if err := ValidateShares(101, []Share{s}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	if err := ValidateShares(101, make([]Share, MaxShares+1)); err == nil {
		t.Error("too many shares are taken")
	}
}

// TestValidatePath: what a host writes itself is not hidden from it, nor from the programs.
func TestValidatePath(t *testing.T) {
	for at, want := range map[string]string{
		"/srv": "", "/etc/nginx": "", "/etc/hosts.d": "", "/etcetera": "",
		"/etc":             `path "/etc": the host writes /etc/hostname there`,
		"/etc/hosts":       "the host writes /etc/hosts there",
		"/etc/resolv.conf": "the host writes /etc/resolv.conf there",
		"/etc/hostname/x":  "the host writes /etc/hostname there",
		"/run/x":           "/run belongs to the host",
		"/":                "not an absolute",
	} {
		if err := ValidatePath(at); want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v, want %q", at, err, want)
		}
	}
	m := Mount{Name: "shared", Path: "/etc", From: 101, Host: "h-0123456789ab", Volume: "data"}
	if err := Validate(102, []Mount{m}); err != nil {
		t.Errorf("a host that is told of one, as an earlier release took it, refuses all: %v", err)
	}
}
