package slots

import (
	"strings"
	"testing"
)

func TestRequestValidate(t *testing.T) {
	sum := strings.Repeat("0a", 32)
	for _, c := range []struct {
		r    Request
		want string // a part of the error
	}{
		{Request{Action: Try}, ""},
		{Request{Action: Try, Slot: B, Reboot: true}, ""},
		{Request{Action: Rollback}, ""},
		{Request{Action: Stay}, ""},
		{Request{Action: Stay, Reboot: true}, "reboot"},
		{Request{Action: Stage, File: "/run/x.efi", SHA256: sum}, ""},
		{Request{Action: Stage, File: "/run/x.efi"}, "sha256"},
		{Request{Action: Stage, SHA256: sum}, "sha256"},
		{Request{Action: Copy}, ""},
		{Request{Action: Try, File: "/x"}, "file"},
		{Request{Action: Try, Slot: Rescue}, "slot"},
		{Request{Action: "explode"}, "action"},
		{Request{}, "action"},
	} {
		if err := c.r.Validate(); (c.want == "") != (err == nil) || err != nil && !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("%+v: got %v, want %q", c.r, err, c.want)
		}
	}
	if A.Other() != B || B.Other() != A {
		t.Error("the other slot is another one")
	}
}
