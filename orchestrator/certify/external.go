package certify

import (
	"context"
	"fmt"
	"strings"

	api "github.com/mholt/acmez/v3/acme"

	"hardnode.dev/internal/secret"
	"hardnode.dev/internal/wire/acme"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/orchestrator/store"
)

// externalKey is what the key of the account is sealed as that the one at the CA is bound to.
const externalKey = "external account at the CA"

// external is the account that the one at the CA is bound to: what is said of it, or, if the CA is the one before, what was said then. Nil:
// there is none.
func (d *Desk) external(s acme.SetAcmeSettings, old store.ACME) *acme.ExternalAccount {
	switch {
	case s.External != nil:
		return s.External
	case old.External == "" || old.Directory != s.Directory:
		return nil
	}
	key, err := d.Keys.Open(externalKey, old.ExternalKey.Reveal())
	if err != nil {
		return nil
	}
	return &acme.ExternalAccount{ID: old.External, Key: secret.Text(key.Reveal())}
}

// bind binds an account that is to be made to one elsewhere (RFC 8555, section 7.3.4). Errors are Problems.
func bind(ctx context.Context, c *client, a *api.Account, to *acme.ExternalAccount) error {
	if to == nil {
		return nil
	}
	key := strings.TrimRight(to.Key.Reveal(), "=")
	err := a.SetExternalAccountBinding(ctx, c.Client, api.EAB{KeyID: to.ID, MACKey: key})
	if err != nil {
		return operator.NewProblem(operator.Invalid, "external", fmt.Sprintf("the account at the CA can't be bound to %s: its key is wrong",
			to.ID), "give the key as the CA gave it")
	}
	return nil
}
