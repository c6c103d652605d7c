package operator

import (
	"time"

	"hardnode.dev/internal/secret"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/front"
)

// Domain is a host name that an environment is served under.
type Domain struct {
	Name string `json:"name"`
	Own  bool   `json:"own,omitempty" doc:"The environment's name in the cluster's domain: it can't be deleted"`
	front.Scheme
	Certificate *DomainCertificate `json:"certificate,omitempty" doc:"What clients are shown over HTTPS; absent: nothing, they are refused"`
	Issue       *DomainIssue       `json:"issue,omitempty" doc:"What became of asking the CA for a certificate; absent: it is not asked"`
}

// DomainIssue is where a name stands with the CA that the cluster asks for certificates.
type DomainIssue struct {
	State  string    `json:"state" enum:"issued,waiting,ordered,failed" doc:"waiting: it is asked next; ordered: it is at work; failed: the last try brought nothing, or the name is not asked for as it is"`
	Tries  int       `json:"tries,omitempty" doc:"That failed since the last certificate"`
	Reason string    `json:"reason,omitempty" doc:"Why there is none yet or no newer one, in the CA's words where they are its own"`
	Next   time.Time `json:"next,omitzero" doc:"When it is tried again, or renewed"`
}

// DomainCertificate is what is known of a certificate.
type DomainCertificate struct {
	Uploaded bool      `json:"uploaded,omitempty" doc:"By a person, who has to renew it; else the cluster's own, or one that it was issued: these renew themselves"`
	Issued   bool      `json:"issued,omitempty" doc:"By the CA that the cluster asks, for this name alone"`
	Names    []string  `json:"names"`
	Issuer   string    `json:"issuer"`
	Begins   time.Time `json:"begins"`
	Ends     time.Time `json:"ends"`
	SHA256   string    `json:"sha256" doc:"Of the certificate, hex"`
	Warning  string    `json:"warning,omitempty"`
}

// Domains are all of an environment.
type Domains struct {
	Domains []Domain `json:"domains" doc:"Its own first"`
}

// SwapDomains is with which environment one changes its host names.
type SwapDomains struct {
	With wire.EnvName `json:"with" required:"true" maxLength:"40" doc:"Of the same account"`
}

// UploadCertificate is a certificate with its key.
type UploadCertificate struct {
	Chain string      `json:"chain" required:"true" maxLength:"65536" doc:"PEM: the certificate of the name first, then who signed it, and so on"`
	Key   secret.Text `json:"key" required:"true" maxLength:"16384" doc:"PEM: its private key, not encrypted"`
}

// WebCA is who signs the certificates of the cluster's own domain.
type WebCA struct {
	Domain string    `json:"domain" doc:"It signs for this and what is below, and says so: nobody who believes it believes it of other names"`
	PEM    string    `json:"pem"`
	SHA256 string    `json:"sha256" doc:"Of the certificate, hex"`
	Ends   time.Time `json:"ends"`
}

// Bypass lets whoever has it in while an environment is in maintenance.
type Bypass struct {
	Name string      `json:"name" doc:"The environment's own host name; any other of its names does as well"`
	Path secret.Text `json:"path" doc:"Path that a browser is to open at one of the names: it is given a cookie, and let in until maintenance is over or another bypass is made. Nobody is shown it again"`
}
