package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"reflect"
	"strings"
	"testing"
	"time"

	"hardnode.dev/internal/secret"
	"hardnode.dev/internal/wire/front"
	"hardnode.dev/internal/wire/operator"
)

// pairFor is a certificate for a name, signed by itself, and its DER.
func pairFor(t *testing.T, name string) (operator.UploadCertificate, []byte) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	cert := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{name}, NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(90 * 24 * time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, cert, cert, key.Public(), key)
	must(t, err)
	private, err := x509.MarshalPKCS8PrivateKey(key)
	must(t, err)
	return operator.UploadCertificate{Chain: string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})),
		Key: secret.Text(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}))}, der
}

// TestDomains: an environment gets a host name and a certificate of its own through the API, and both go again.
func TestDomains(t *testing.T) {
	t.Parallel()
	c := found(t, 2, "infra1", "host1")
	c.start()
	c.join("host1", 0)
	c.create(hello("hello", 1))
	const names, certificates = "/api/v1/environments/hello/domains", "/api/v1/environments/hello/certificates/"
	pair, _ := pairFor(t, "shop.example")
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

// TestRoute: how a site is served goes through the API to the resolver's routes.
func TestRoute(t *testing.T) {
	t.Parallel()
	c := found(t, 2, "infra1", "host1")
	c.start()
	c.join("host1", 0)
	c.create(hello("hello", 2))
	const route = "/api/v1/environments/hello/route"
	want := front.Settings{Maintenance: true, AccessLog: true, Pages: []front.Page{{Name: "down", HTML: "<p>gone"}},
		Weights: map[string]int{"2": 30}}
	var got front.Settings
	c.ok("PUT", route, want, &got)
	c.ok("GET", route, nil, &got)
	if !reflect.DeepEqual(got, want) {
		t.Errorf("it is %+v", got)
	}
	resp, _ := c.do(c.client, "GET", route, nil)
	if tag := resp.Header.Get("ETag"); tag != want.Tag() {
		t.Errorf("its ETag is %s, want %s", tag, want.Tag())
	}
	if p := c.call("PUT", route, front.Settings{}, nil, "If-Match", front.Settings{}.Tag()); p == nil || p.Status != 412 || p.Next == "" {
		t.Errorf("a change of what it was before: %v", p)
	}
	c.ok("PUT", route, want, &got, "If-Match", want.Tag())
	if !reflect.DeepEqual(got, want) {
		t.Errorf("it is %+v", got)
	}
	var pass operator.Bypass
	c.ok("POST", route+"/bypass", struct{}{}, &pass)
	if !strings.HasPrefix(pass.Path.Reveal(), front.BypassPath) || pass.Name == "" {
		t.Errorf("the bypass is of %q", pass.Name)
	}
	wrong := front.Settings{Weights: map[string]int{"0": 1}}
	if p := c.call("PUT", route, wrong, nil); p == nil || p.Code != operator.Invalid || p.Next == "" {
		t.Errorf("a share of no node: %v", p)
	}
	c.eventually("the routes have it", func() bool {
		doc, _ := c.o.routes.Get()
		if len(doc.Sites) != 1 {
			return false
		}
		s := doc.Sites[0]
		return s.Front != nil && s.Front.AccessLog && len(s.Pass) == 32 && len(s.Backends) == 2 && s.Backends[1].Weight == 30
	})
}
