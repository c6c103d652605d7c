package identity

import (
	"crypto/tls"
)

// PinnedTLS connects to the one server whose own key has this pin (Pin), such as a JLS with a certificate it made itself. Name, dates
// and issuer of the certificate play no part; a server with another key is a *KeyPinError.
func PinnedTLS(pin string) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13,
		// The pin is checked instead of a name and an issuer, below.
		InsecureSkipVerify: true,
		VerifyConnection: func(s tls.ConnectionState) error {
			got := ""
			if len(s.PeerCertificates) > 0 {
				got = Pin(s.PeerCertificates[0])
			}
			if pin == "" || got != pin {
				return &KeyPinError{Want: pin, Got: got}
			}
			return nil
		},
	}
}

// KeyPinError says that a server's key is not the pinned one.
type KeyPinError struct{ Want, Got string }

func (e *KeyPinError) Error() string {
	return "check server's key: want " + e.Want + ", it has " + e.Got + "; compare the pin with the one the server prints when it starts"
}
