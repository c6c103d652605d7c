package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"testing"
	"time"

	"hardnode.dev/internal/secret"
	"hardnode.dev/internal/wire/front"
	"hardnode.dev/internal/wire/operator"
)

// TestDomains: an environment gets a host name and a certificate of its own through the API, and both go again.
func TestDomains(t *testing.T) {
	t.Parallel()
	c := found(t, 2, "infra1", "host1")
	c.start()
	c.join("host1", 0)
	c.create(hello("hello", 1))
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	cert := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"shop.example"}, NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(90 * 24 * time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, cert, cert, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	const names, certificates = "/api/v1/environments/hello/domains", "/api/v1/environments/hello/certificates/"
	pair := operator.UploadCertificate{Chain: string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})),
		Key: secret.Text(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}))}
	var got operator.Domains
	c.ok("PUT", names+"/shop.example", front.Scheme{Redirect: true}, &got)
	c.ok("PUT", certificates+"shop.example", pair, &got)
	c.ok("GET", names, nil, &got)
	if len(got.Domains) != 2 || got.Domains[1].Name != "shop.example" || !got.Domains[1].Redirect ||
		got.Domains[1].Certificate == nil || !got.Domains[1].Certificate.Uploaded {
		t.Errorf("it has %+v", got.Domains)
	}
	if p := c.call("PUT", certificates+"other.example", pair, nil); p == nil || p.Code != operator.Invalid || p.Next == "" {
		t.Errorf("a certificate for another name: %v", p)
	}
	if p := c.call("PUT", names+"/no_name", front.Scheme{}, nil); p == nil || p.Code != operator.Invalid || p.Next == "" {
		t.Errorf("what is no host name: %v", p)
	}
	c.ok("DELETE", names+"/shop.example", nil, &got)
	if len(got.Domains) != 1 || !got.Domains[0].Own {
		t.Errorf("with the name taken away it has %+v", got.Domains)
	}
}
