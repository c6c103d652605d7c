package store

import (
	"testing"

	"hardnode.dev/internal/testkit/golden"
	"hardnode.dev/internal/wire/host"
)

// Every kind of record, as it is stored.
func TestGolden(t *testing.T) {
	checks := map[string]func(*testing.T, string){
		"cluster": golden.Kept[Cluster], "host": golden.Kept[Host], "join": golden.Kept[JoinToken], "number": golden.Kept[Number],
		"env": golden.Kept[Environment], "node": golden.Kept[Node], "cursor": golden.Kept[Cursor], "work": golden.Kept[host.Work],
		"peers": golden.Kept[host.Peers], "gossip": golden.Kept[GossipKey], "operation": golden.Kept[Operation],
		"token": golden.Kept[Token],
		"key":   golden.Kept[IdempotencyKey], "template": golden.Kept[host.Template], "license": golden.Kept[License],
		"lease": golden.Kept[Lease],
		"names": golden.Kept[Names], "cordon": golden.Kept[Cordon], "netboot": golden.Kept[Netboot], "leave": golden.Kept[Leave],
		"system": golden.Kept[System], "component": golden.Kept[Component],
		"account": golden.Kept[Account], "accountgroup": golden.Kept[AccountGroup],
		"user": golden.Kept[User], "session": golden.Kept[Session], "link": golden.Kept[Link],
		"mailserver": golden.Kept[MailServer], "mail": golden.Kept[Mail],
		"domain": golden.Kept[Domain], "front": golden.Kept[Front], "webca": golden.Kept[WebCA],
		"acme": golden.Kept[ACME], "issue": golden.Kept[Issue], "asked": golden.Kept[Asked],
		"dns":    golden.Kept[DNS],
		"share":  golden.Kept[Share],
		"acting": golden.Kept[Acting],
		"oidc":   golden.Kept[OIDC], "identity": golden.Kept[Identity],
		"passkey": golden.Kept[Passkey],
	}
	for kind := range decoders {
		check := checks[kind]
		if check == nil {
			t.Errorf("records of kind %q have no golden file: add the kind to this test", kind)
			continue
		}
		check(t, kind)
	}
	golden.Wire[schema](t, "schema")
}
