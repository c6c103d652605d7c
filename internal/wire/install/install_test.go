package install

import (
	"strings"
	"testing"
)

func TestSpecValidate(t *testing.T) {
	for _, c := range []struct {
		name string
		spec Spec
		want string // a part of the error
	}{
		{"nothing given", Spec{}, ""},
		{"two disks", Spec{Disks: []Rule{{Path: "/dev/sda"}, {Serial: "S2"}}, Wipes: []string{"/dev/sda", "/dev/sdb"}}, ""},
		{"two of a kind", Spec{Disk: Rule{Model: "Samsung*"}, Mirror: true}, ""},
		{"three disks", Spec{Disks: make([]Rule, 3)}, "disks: 3 are given"},
		{"one in a list", Spec{Disks: make([]Rule, 1)}, "disks: 1 are given"},
		{"a wrong rule of two", Spec{Disks: []Rule{{}, {Path: "sda"}}}, "disks[1].path"},
		{"said twice", Spec{Disks: make([]Rule, 2), Mirror: true}, "disks: say disks"},
		{"two at one path", Spec{Disk: Rule{Path: "/dev/sda"}, Mirror: true}, "mirror: disk.path"},
		{"one of two wipes is a yes", Spec{Wipes: []string{"/dev/sda", "yes"}}, "wipe"},
		{"all given", Spec{Disk: Rule{"/dev/sda", "wwn-0x5000*", "Samsung*", "S1", "nvme", 100, 4000}, Wipe: "/dev/sda", UKI: "/a.efi"},
			""},
		{"no path", Spec{Disk: Rule{Path: "sda"}}, "disk.path"},
		{"a path elsewhere", Spec{Disk: Rule{Path: "/dev/../etc/passwd"}}, "disk.path"},
		{"no range", Spec{Disk: Rule{MinGiB: 200, MaxGiB: 100}}, "disk.minGiB"},
		{"less than nothing", Spec{Disk: Rule{MinGiB: -1}}, "disk.minGiB"},
		{"transport", Spec{Disk: Rule{Transport: "scuzzy"}}, "disk.transport"},
		{"wipe is a yes", Spec{Wipe: "true"}, "wipe"},
		{"encrypted", Spec{Encrypt: "tpm"}, ""},
		{"an encrypted mirror", Spec{Encrypt: "tpm", Mirror: true}, "encrypt"},
		{"encrypted somehow", Spec{Encrypt: "yes"}, "encrypt"},
		{"a file from nowhere", Spec{UKI: "host.efi"}, "uki"},
	} {
		if err := c.spec.Validate(); (c.want == "") != (err == nil) || err != nil && !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", c.name, err, c.want)
		}
	}
}
