package store

import (
	"net/netip"
	"time"

	"hardnode.dev/internal/secret"
	"hardnode.dev/internal/wire"
)

// ACME is the CA that certificates are asked of. Orchestrators before 2026-11-28 keep it, and ask none.
type ACME struct {
	Directory string       `json:"directory"`
	Mail      string       `json:"mail"`
	CA        string       `json:"ca,omitempty"`    // PEM of the directory's own; "": the usual ones
	Terms     string       `json:"terms,omitempty"` // that were agreed to
	Addresses []netip.Addr `json:"addresses,omitempty"`
	Key       secret.Bytes `json:"key"` // of the account at the CA, PKCS #8, sealed: orchestrator/certify
	// External is the account elsewhere that the one at the CA is bound to (RFC 8555, section 7.3.4); "": none. ExternalKey is its HMAC
	// key, sealed likewise.
	External    string       `json:"external,omitempty"`
	ExternalKey secret.Bytes `json:"externalKey,omitempty"`
	Account     string       `json:"account"` // its URL
	Since       time.Time    `json:"since"`
	By          string       `json:"by"`
}

// DomainIssue is the name of the Issue of the cluster's own domain, which is for that and for all names one label below it. It is the
// admins'.
func DomainIssue(domain string) string { return "*." + domain }

// Issue is where a host name stands with the CA: what was issued, and what is asked for. It is an account's: another one that gets the name
// has nothing of it. Orchestrators before 2026-11-28 keep it and serve nothing of it.
type Issue struct {
	Name    string       `json:"name"`
	Account wire.Account `json:"account"` // the owner
	// Certificate is sealed as certs.IssuedAs; nil: none yet. Begins is when it does, Renew when the next one is asked for, Look when the
	// CA is asked whether that is still right.
	Certificate *Certificate `json:"certificate,omitempty"`
	Directory   string       `json:"directory,omitempty"` // of the CA that issued it
	Begins      time.Time    `json:"begins,omitzero"`
	Renew       time.Time    `json:"renew,omitzero"`
	Look        time.Time    `json:"look,omitzero"`
	Order       *Order       `json:"order,omitempty"` // under way
	// Tries are those that failed since the last certificate; Reason is of the last one, Next when there is another. Asked: the CA was
	// asked in the last one.
	Tries  int       `json:"tries,omitempty"`
	Asked  bool      `json:"asked,omitempty"`
	Reason string    `json:"reason,omitempty"`
	Next   time.Time `json:"next,omitzero"`
	Told   time.Time `json:"told,omitzero"` // the end of the certificate that the account was written about
}

// Order is a certificate that is asked for. What is in it is enough to go on with it, whenever the orchestrator ends.
type Order struct {
	Directory string       `json:"directory"`
	URL       string       `json:"url"`
	Key       secret.Bytes `json:"key"` // the certificate's, PKCS #8, sealed as certs.IssuedAs
	Kind      string       `json:"kind"`
	Token     string       `json:"token,omitempty"`
	Answer    string       `json:"answer,omitempty"`
	Proofs    []Proof      `json:"proofs,omitempty"` // of an order of several names, in the place of Token and Answer
	Begun     time.Time    `json:"begun"`
}

// Proof is what the CA asks for at one name of an order, as dns-01.
type Proof struct {
	Name  string `json:"name"`
	Token string `json:"token"`
	Text  string `json:"text"` // of the TXT record
}

// Asked is when an account asked for certificates lately, whatever became of them.
type Asked struct {
	Account wire.Account `json:"account"`
	Times   []time.Time  `json:"times"`
	Renewed []time.Time  `json:"renewed,omitempty"` // those of them that were renewals
}
