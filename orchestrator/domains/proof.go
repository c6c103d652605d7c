package domains

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base32"
	"fmt"
	"slices"
	"strings"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/orchestrator/store"
)

// proofLabel stands before a name in the DNS, where its owner says which account may have it.
const proofLabel = "_hardnode."

// mayHave is nil if an environment may have a name that it does not have yet. In the cluster's domain it has its own and what is below. Any
// other has to be proved by who rules its DNS, for otherwise an account could take the name of another that comes later, with what visitors
// send there; those who run the cluster need no proof.
func (d *Desk) mayHave(ctx context.Context, v *store.View, e store.Environment, account wire.Account, name string) error {
	env := e.Spec.Name
	if strings.HasPrefix(name, "*.") {
		return operator.NewProblem(operator.Invalid, at(env, name),
			"a name with * needs a certificate by DNS-01, which is asked for the cluster's own domain alone",
			"ask for the names below it one by one")
	}
	if !host.IsDomain(name) || !strings.Contains(name, ".") || len(name) > 253-len(proofLabel) || number(name) {
		return malformed(env, name)
	}
	mine := own(v, env)
	cluster := strings.TrimPrefix(mine, string(env)+".")
	switch {
	case name == mine || strings.HasSuffix(name, "."+mine):
		return nil
	case name == cluster || strings.HasSuffix(name, "."+cluster):
		return operator.NewProblem(operator.Denied, at(env, name), "names in "+cluster+" are the cluster's",
			"choose one below "+mine+", or a name of your own")
	}
	if rec := store.Domains.Find(v, name); rec != nil && alive(rec, store.Envs.Find(v, string(rec.Env))) {
		return taken(v, env, account, *rec)
	}
	if account.Owner() == wire.AdminAccount {
		return nil
	}
	want := d.proof(e.Account, name)
	ctx, cancel := context.WithTimeout(ctx, lookTime)
	defer cancel()
	texts, err := d.TXT(ctx, proofLabel+name)
	if slices.Contains(texts, want) {
		return nil
	}
	reason := "nothing in the DNS says that your account may have it"
	if err != nil {
		reason = fmt.Sprintf("the DNS was not asked whether your account may have it: %v", err)
	}
	return operator.NewProblem(operator.Denied, at(env, name), reason,
		fmt.Sprintf("make a TXT record %s%s with the text %s, and repeat this when it is there; it may be deleted after", proofLabel,
			name, want))
}

// proof is the text by which the owner of a name gives it to an account. Another account's is another one.
func (d *Desk) proof(account wire.Account, name string) string {
	h := hmac.New(sha256.New, d.Proof)
	fmt.Fprintf(h, "%s\n%s", account.Owner(), name)
	return "hardnode-" + strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(h.Sum(nil)[:20]))
}

// number tells whether a name looks like an address of IPv4: its last label is a number.
func number(name string) bool {
	last := name[strings.LastIndexByte(name, '.')+1:]
	return strings.Trim(last, "0123456789") == ""
}
