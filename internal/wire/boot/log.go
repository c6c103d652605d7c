package boot

import (
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net"
	"strings"

	"hardnode.dev/internal/wire"
)

// Log says where this host's own logs go beside the host itself: those of the kernel, of init and of its programs, none of containers.
type Log struct {
	Syslog []Syslog `json:"syslog,omitempty" yaml:"syslog"` // at most MaxSyslog; each gets everything
}

// MaxSyslog is the most log servers of a host.
const MaxSyslog = 4

// Syslog is one log server: RFC 5424 over TLS (RFC 5425). It shows a certificate for its address below CA, or the key of the pin.
type Syslog struct {
	Address string `json:"address" yaml:"address"`   // host:port; the usual port is 6514
	CA      string `json:"ca,omitempty" yaml:"ca"`   // PEM of one or more certificates
	Pin     string `json:"pin,omitempty" yaml:"pin"` // "sha256:" + hex SHA-256 of the server's own SubjectPublicKeyInfo
}

// Pool is the certificates of CA; nil if it is none.
func (s Syslog) Pool() *x509.CertPool {
	pool, rest := x509.NewCertPool(), []byte(s.CA)
	for found := false; ; found = true {
		block, more := pem.Decode(rest)
		switch {
		case block == nil && found && strings.TrimSpace(string(rest)) == "":
			return pool
		case block == nil || block.Type != "CERTIFICATE":
			return nil
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil
		}
		pool.AddCert(cert)
		rest = more
	}
}

func (l Log) validate() error {
	if len(l.Syslog) > MaxSyslog {
		return fmt.Errorf("syslog: has %d servers, at most %d are sent to", len(l.Syslog), MaxSyslog)
	}
	seen := map[string]bool{}
	for i, s := range l.Syslog {
		at := fmt.Sprintf("syslog[%d].", i)
		if h, p, err := net.SplitHostPort(s.Address); err != nil || h == "" || p == "" {
			return fmt.Errorf("%saddress: %q: want host:port, such as log.example.com:6514", at, s.Address)
		}
		switch {
		case seen[s.Address]:
			return fmt.Errorf("%saddress: %q is there twice", at, s.Address)
		case (s.CA == "") == (s.Pin == ""):
			return fmt.Errorf("%sca: server %s: give either ca or pin; logs are sent to nobody who does not prove who it is", at, s.Address)
		case s.CA != "" && s.Pool() == nil:
			return fmt.Errorf("%sca: is no PEM of certificates: want -----BEGIN CERTIFICATE----- and so on", at)
		case s.Pin != "" && wire.Digest(s.Pin).Validate() != nil:
			return fmt.Errorf("%spin: %q: want sha256: and 64 hex digits", at, s.Pin)
		}
		seen[s.Address] = true
	}
	return nil
}
