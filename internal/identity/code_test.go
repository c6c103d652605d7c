package identity

import (
	"bytes"
	"crypto/ed25519"
	"regexp"
	"strings"
	"testing"
)

// TestCode: a code is of the key and of the pin: who gives a machine another pin makes it show another code. The values are those that
// hosts and orchestrators of the next versions must come to as well.
func TestCode(t *testing.T) {
	key := ed25519.PublicKey(bytes.Repeat([]byte{7}, 32))
	pin := "sha256:" + strings.Repeat("ab", 32)
	code := Code(key, pin)
	if !regexp.MustCompile(`^[A-Z2-7]{4}-[A-Z2-7]{4}-[A-Z2-7]{4}$`).MatchString(code) {
		t.Errorf("the code is %q", code)
	}
	for what, other := range map[string]string{
		"another pin": Code(key, "sha256:"+strings.Repeat("ac", 32)),
		"another key": Code(ed25519.PublicKey(bytes.Repeat([]byte{8}, 32)), pin),
		"no pin":      Code(key, ""),
	} {
		if other == code {
			t.Errorf("%s makes the same code %s", what, code)
		}
	}
	for _, typed := range []string{code, strings.ToLower(code), strings.ReplaceAll(code, "-", ""), strings.ReplaceAll(code, "-", " ")} {
		if got := ReadCode(typed); got != code {
			t.Errorf("%q is read as %q, want %q", typed, got, code)
		}
	}
	if got := ShortCode(key); len(got) != 9 {
		t.Errorf("the code of version 0.1 is %q", got)
	}
	const want = "VVZG-HZFW-AY3M"
	if code != want {
		t.Errorf("the code is %s, it was %s", code, want)
	}
}
