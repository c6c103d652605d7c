package wire

import "testing"

func TestValidate(t *testing.T) {
	type named interface{ Validate() error }
	tests := []struct {
		v  named
		ok bool
	}{
		{EnvName("hello"), true}, {EnvName("a-1"), true}, {EnvName(""), false}, {EnvName("1a"), false}, {EnvName("a-"), false},
		{EnvName("Hello"), false}, {EnvName("../x"), false}, {EnvName("a23456789012345678901234567890123456789012"), false},
		{EnvName("a\n"), false}, {Account("admin"), true}, {AdminAccount, true}, {Account(""), false}, {Account("Admin"), false},
		{Account("a/b"), false}, {Account(`a"`), false}, {LayerName("cp"), true}, {LayerName("c.p"), false},
		{TemplateName("nginx"), true}, {TemplateName("nginx:1.22"), true}, {TemplateName("db/postgres:16"), true},
		{TemplateName("/nginx"), false}, {TemplateName("nginx:"), false}, {TemplateName("a//b"), false}, {TemplateName("../nginx"), false},
		{ClusterID("cl-0123456789abcdef"), true}, {ClusterID("cl-0123456789ABCDEF"), false},
		{HostID("h-0123456789ab"), true}, {HostID("h-0123456789abc"), false},
		{Digest("sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"), true}, {Digest("sha256:../../x"), false},
		{Digest(""), false},
	}
	for _, tt := range tests {
		if err := tt.v.Validate(); (err == nil) != tt.ok {
			t.Errorf("%T %q: got %v, want valid %v", tt.v, tt.v, err, tt.ok)
		}
	}
}

// What was made before there were accounts is the admins', who see what is of any account.
func TestOwner(t *testing.T) {
	for a, want := range map[Account]Account{"": AdminAccount, "admin": AdminAccount, "shop": "shop"} {
		if got := a.Owner(); got != want || a.ValidateGiven() != nil {
			t.Errorf("owner of %q: %q (%v), want %q", a, got, a.ValidateGiven(), want)
		}
	}
	for _, c := range []struct {
		a, owner Account
		want     bool
	}{{"admin", "shop", true}, {"admin", "", true}, {"shop", "shop", true}, {"shop", "admin", false}, {"shop", "", false},
		{"shop", "acme", false}, {"", "", false}, {"", "shop", false}} {
		if got := c.a.Sees(c.owner); got != c.want {
			t.Errorf("account %q sees what is of %q: %v, want %v", c.a, c.owner, got, c.want)
		}
	}
	if Account("../x").ValidateGiven() == nil {
		t.Error("a name that is none was let pass")
	}
}

func TestParseCTID(t *testing.T) {
	for s, want := range map[string]CTID{"1": 1, "104": 104, "0": 0, "-3": 0, "x": 0, "": 0, "99999999999999999999": 0} {
		if got, err := ParseCTID(s); got != want || (err == nil) != (want > 0) {
			t.Errorf("%q: got %v, %v", s, got, err)
		}
	}
}
