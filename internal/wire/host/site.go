package host

import (
	"fmt"
	"net/netip"
	"strings"
	"time"

	"hardnode.dev/internal/secret"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/front"
	names "hardnode.dev/internal/wire/zone"
)

// Routes is what the resolver serves: it goes on with the last one it saw.
type Routes struct {
	Version  int           `json:"version"` // 1
	Revision wire.Revision `json:"revision"`
	Sites    []Site        `json:"sites"`
	// From is the revision that this leads on from: Sites are those that are new or others since then, Gone those that are no more. 0: from
	// nothing, it is whole. A resolver is sent differences only when its call has RoutesChanges.
	From wire.Revision  `json:"from,omitempty"`
	Gone []wire.EnvName `json:"gone,omitempty"`
	// Default is the certificate of the cluster's own domain, for all names that it names and for clients that name none. Nil: there is
	// none yet, and in a change that it is as before.
	Default *Certificate `json:"default,omitempty"`
	// Cookies is the key that cookies are signed with, 32 bytes, the same for all resolvers. Empty: none, and in a change as before.
	Cookies secret.Bytes `json:"cookies,omitempty"`
	// Zone is the cluster's domain in the DNS. Nil: it is not served, and in a change as before. Resolvers before 2026-11-28 serve none.
	Zone *names.Zone `json:"zone,omitempty"`
}

// RoutesDeaf is the query of PathRoutes by which a resolver says that it does not listen yet: "1". What it has, nobody can ask it for.
const RoutesDeaf = "deaf"

// Site is one environment as the resolver sees it.
//
// History: 2026-11-28 Names, Front; then Since, Pass; then SiteName.Challenge.
type Site struct {
	Env      wire.EnvName `json:"env"`
	Domain   string       `json:"domain"`          // "hello.demo.hardnode.internal"
	Running  bool         `json:"running"`         // false: answer 503 with the environment's state
	State    string       `json:"state,omitempty"` // the environment's state (wire/operator.EnvironmentState), for that answer
	Backends []Backend    `json:"backends"`        // nodes that run and pass their check
	Check    string       `json:"check,omitempty"` // path the resolver asks for to see whether a node serves; "" is a TCP connection
	// Names are its other host names, and Domain where there is something to say of that.
	Names []SiteName      `json:"names,omitempty"`
	Front *front.Settings `json:"front,omitempty"` // without weights: the backends have them
	// Since is when the environment was created: what is kept of another one of the same name is not its own.
	Since time.Time `json:"since,omitzero"`
	// Pass is the SHA-256 of what lets a person in during maintenance; empty: nothing does.
	Pass []byte `json:"pass,omitempty"`
}

// SiteName is a host name that a site is served under.
type SiteName struct {
	Name string `json:"name"`
	front.Scheme
	Certificate *Certificate `json:"certificate,omitempty"` // nil: Routes.Default, if that names it
	Challenge   *Challenge   `json:"challenge,omitempty"`   // nil: no CA asks for one
}

// Challenge is what a CA asks for at a name before it certifies it. A resolver answers it both ways: as http-01 (RFC 8555, section 8.3)
// with Answer at ChallengePath and Token, as tls-alpn-01 (RFC 8737) with the digest of Answer in a certificate. There is no secret in it.
type Challenge struct {
	Token  string `json:"token"`
	Answer string `json:"answer"` // the key authorization: the token, a dot, and the thumbprint of the account's key
}

// ChallengePath, with the token behind it, is what a CA asks for.
const ChallengePath = "/.well-known/acme-challenge/"

// maxToken is of a token, in bytes; those of CAs have 43.
const maxToken = 256

// Validate says why c is none, or nil.
func (c *Challenge) Validate() error {
	if c == nil {
		return nil
	}
	thumbprint, ok := strings.CutPrefix(c.Answer, c.Token+".")
	if !ok || !isBase64URL(c.Token) || !isBase64URL(thumbprint) {
		return fmt.Errorf("its challenge %q is none: want a token and its answer, in base64url", c.Token)
	}
	return nil
}

func isBase64URL(s string) bool {
	return s != "" && len(s) <= maxToken &&
		strings.Trim(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_") == ""
}

// Certificate is a certificate with its key, for TLS to the world.
type Certificate struct {
	Chain [][]byte     `json:"chain"` // DER, the site's own first
	Key   secret.Bytes `json:"key"`   // PKCS #8
}

// Backend is one address that serves a site.
type Backend struct {
	CTID wire.CTID      `json:"ctid"`
	Addr netip.AddrPort `json:"addr"`
	Host wire.HostID    `json:"host"`
	// Held: it is about to answer again at the same address, since its node moves to another host: what is for it waits so long.
	Held bool `json:"held,omitempty"`
	// Weight is its share beside 100, 1 to 99; 0 is 100. Spare: nothing while another one serves.
	Weight int  `json:"weight,omitempty"`
	Spare  bool `json:"spare,omitempty"`
}
