package user

import (
	"strings"
	"testing"

	"hardnode.dev/internal/secret"
	"hardnode.dev/internal/testkit/golden"
)

func TestGolden(t *testing.T) {
	golden.Wire[User](t, "user")
	golden.Wire[NewUser](t, "new")
	golden.Wire[SetMember](t, "member")
	golden.Wire[ChangeSelf](t, "change")
	golden.Wire[SignIn](t, "signin")
	golden.Wire[SignedIn](t, "signedin")
	golden.Wire[SignInAs](t, "signinas")
	golden.Wire[ChangePassword](t, "password")
	golden.Wire[BeginSecondFactor](t, "begin")
	golden.Wire[NewSecondFactor](t, "factor")
	golden.Wire[ConfirmSecondFactor](t, "confirm")
	golden.Wire[RecoveryCodes](t, "codes")
	golden.Wire[EndSecondFactor](t, "end")
	golden.Wire[Invite](t, "invite")
	golden.Wire[NewInvite](t, "newinvite")
	golden.Wire[MadeInvite](t, "madeinvite")
	golden.Wire[PasswordReset](t, "reset")
	golden.Wire[Service](t, "service")
	golden.Wire[NewService](t, "newservice")
	golden.Wire[Passkey](t, "passkey")
	golden.Wire[RenamePasskey](t, "renamepasskey")
	golden.Wire[RemovePasskey](t, "removepasskey")
}

func TestMail(t *testing.T) {
	for s, ok := range map[string]bool{"ada@example.com": true, "Ada.L+x@example.com": true, "": false, "ada": false, "a@b@c": false,
		"ada@exa\u0131mple.com": false, "m\u0131ke@example.com": false, "a@b\r\nBcc: c@d": false, "Ada <ada@example.com>": false,
		"a b@example.com": false, `"a"@example.com`: false, "a/b@example.com": false, strings.Repeat("a", 251) + "@b.c": false} {
		if err := ValidateMail(s); (err == nil) != ok {
			t.Errorf("%q: %v", s, err)
		}
	}
}

func TestPassword(t *testing.T) {
	for s, ok := range map[string]bool{"correct horse": true, "short": false, "aaaaaaaaaaaaaaaa": false, "Ada@example.com": false,
		strings.Repeat("ab", 129): false} {
		err := ValidatePassword(secret.Text(s), "ada@example.com")
		if (err == nil) != ok || err != nil && strings.Contains(err.Error(), s) {
			t.Errorf("%q: %v", s, err)
		}
	}
}

func TestRoles(t *testing.T) {
	for _, r := range Roles {
		if r.Validate() != nil || len(r.Scopes()) == 0 {
			t.Errorf("%s has scopes %v", r, r.Scopes())
		}
	}
	if r := Role("root"); r.Validate() == nil || r.Scopes() != nil {
		t.Errorf("%s is a role", r)
	}
}
