// Package ssl is JEM's module of the certificates that servers in the container show.
//
// Owns: what a certificate must be before it is put in place, where it is, the one that was there before.
// In: PEM: a certificate, those above it, and the key, sent along.
// Out: /etc/jem/ssl/NAME/fullchain.pem and key.pem; a server that was reloaded with them.
// Never: puts a certificate in place that does not fit its key, or shows a key.
package ssl

import (
	"bytes"
	"context"
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"hardnode.dev/agent/jem/contract"
	"hardnode.dev/agent/jem/file"
	"hardnode.dev/agent/jem/server"
	"hardnode.dev/agent/jem/service"
	"hardnode.dev/internal/wire/form"
	"hardnode.dev/internal/wire/jem"
)

// Dir is where certificates are.
const Dir = "/etc/jem/ssl"

// Module is the module's table.
var Module = contract.Module{Name: "ssl", Help: "certificates", Actions: []contract.Action{
	{Name: "list", Help: "certificates that are in place", Reads: true, Begin: contract.Only(list)},
	{Name: "check", Help: "whether a certificate, its chain and its key, sent along, fit together", Reads: true, Begin: check},
	{Name: "install", Args: "NAME [--reload SERVER]", Begin: install,
		Help: "put certificate, chain and key in place, as " + Dir + "/NAME/fullchain.pem and key.pem"},
	{Name: "remove", Args: "NAME", Help: "take a certificate away that no server needs any more", Frees: true, Begin: remove},
}}

const (
	maxPEM   = 256 << 10
	soonDays = 21
)

var nameForm = form.New(`^[a-z0-9_*][a-z0-9._*-]{0,99}$`)

// pair is a certificate with what belongs to it.
type pair struct {
	chain      []*x509.Certificate // leaf first
	chainPEM   []byte
	keyPEM     []byte
	key        crypto.Signer
	incomplete bool // nobody above the last one is here, and it is not a root's
}

// parse reads PEM and checks that all in it fits together at a time.
func parse(raw []byte, now time.Time) (p pair, err error) {
	for {
		var b *pem.Block
		if b, raw = pem.Decode(raw); b == nil {
			break
		}
		switch b.Type {
		case "CERTIFICATE":
			c, err := x509.ParseCertificate(b.Bytes)
			if err != nil {
				return p, fmt.Errorf("certificate %d can't be read: %v", len(p.chain)+1, err)
			}
			if len(p.chain) == 10 {
				return p, errors.New("there are more than 10 certificates")
			}
			p.chain = append(p.chain, c)
			p.chainPEM = append(p.chainPEM, pem.EncodeToMemory(&pem.Block{Type: b.Type, Bytes: b.Bytes})...)
		case "PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY":
			if p.key != nil {
				return p, errors.New("there is more than one key")
			}
			if p.key, err = parseKey(b); err != nil {
				return p, err
			}
			p.keyPEM = pem.EncodeToMemory(&pem.Block{Type: b.Type, Bytes: b.Bytes})
		case "ENCRYPTED PRIVATE KEY":
			return p, errors.New("the key is encrypted: a server could not read it")
		case "EC PARAMETERS":
		default:
			return p, fmt.Errorf("there is a %.40q in it, which is neither a certificate nor a key", b.Type)
		}
	}
	switch {
	case len(bytes.TrimSpace(raw)) > 0:
		return p, errors.New("there is more in it than PEM")
	case len(p.chain) == 0:
		return p, errors.New("there is no certificate in it")
	case p.key == nil:
		return p, errors.New("there is no key in it")
	}
	pub, ok := p.key.Public().(interface{ Equal(crypto.PublicKey) bool })
	if !ok || !pub.Equal(p.chain[0].PublicKey) {
		return p, errors.New("the key is not that of the first certificate")
	}
	for i, c := range p.chain {
		switch {
		case now.After(c.NotAfter):
			return p, fmt.Errorf("certificate %d (%s) ended %s", i+1, subject(c), c.NotAfter.UTC().Format(time.RFC3339))
		case now.Before(c.NotBefore):
			return p, fmt.Errorf("certificate %d (%s) begins %s", i+1, subject(c), c.NotBefore.UTC().Format(time.RFC3339))
		case i > 0 && p.chain[i-1].CheckSignatureFrom(c) != nil:
			return p,
				fmt.Errorf("certificate %d (%s) did not sign the one before it: want the leaf first, then each with the one that signed it",
					i+1, subject(c))
		}
	}
	last := p.chain[len(p.chain)-1]
	p.incomplete = len(p.chain) == 1 && !bytes.Equal(last.RawIssuer, last.RawSubject)
	return p, nil
}

func parseKey(b *pem.Block) (crypto.Signer, error) {
	var k any
	var err error
	switch b.Type {
	case "RSA PRIVATE KEY":
		k, err = x509.ParsePKCS1PrivateKey(b.Bytes)
	case "EC PRIVATE KEY":
		k, err = x509.ParseECPrivateKey(b.Bytes)
	default:
		k, err = x509.ParsePKCS8PrivateKey(b.Bytes)
	}
	if s, ok := k.(crypto.Signer); ok && err == nil {
		return s, nil
	}
	return nil, errors.New("the key can't be read") // the cause might tell of the key
}

func subject(c *x509.Certificate) string {
	if len(c.DNSNames) > 0 {
		return c.DNSNames[0]
	}
	return c.Subject.CommonName
}

// says what a person should know of a certificate.
func (p pair) says(now time.Time) string {
	leaf := p.chain[0]
	days := int(leaf.NotAfter.Sub(now).Hours() / 24)
	text := fmt.Sprintf("certificate of %s, signed by %s, for %d days", strings.Join(leaf.DNSNames, ", "), leaf.Issuer.CommonName, days)
	if days < soonDays {
		text += "; it ends soon"
	}
	if p.incomplete {
		text += "; no certificate above it is given: many clients won't trust it"
	}
	return strings.ToValidUTF8(fmt.Sprintf("%.2000s", text), "?")
}

// given is the pair that is sent along.
func given(c *contract.Call) (pair, error) {
	raw, err := c.Given(maxPEM)
	if err != nil {
		return pair{}, err
	}
	p, err := parse(raw, c.Now())
	if err != nil {
		return p, &jem.Error{Code: "invalid", Reason: err.Error(), Next: "send PEM: the certificate, those above it, and its key"}
	}
	return p, nil
}

func check(c *contract.Call) (contract.Steps, error) {
	_, err := c.Parse(0, 0)
	return contract.Steps{Do: func(context.Context) error {
		p, err := given(c)
		if err == nil {
			c.Done("%s", p.says(c.Now()))
		}
		return err
	}}, err
}

func list(_ context.Context, c *contract.Call) error {
	c.Reply.Columns = []string{"name", "domains", "issuer", "ends", "days"}
	entries, err := os.ReadDir(filepath.Join(c.Root, Dir))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, e := range entries {
		raw, err := file.Read(filepath.Join(c.Root, Dir, e.Name(), "fullchain.pem"), maxPEM)
		b, _ := pem.Decode(raw)
		if err != nil || b == nil || !nameForm.MatchString(e.Name()) {
			continue
		}
		if x, err := x509.ParseCertificate(b.Bytes); err == nil {
			c.Row(e.Name(), strings.ToValidUTF8(strings.Join(x.DNSNames, " "), "?"), strings.ToValidUTF8(x.Issuer.CommonName, "?"),
				x.NotAfter.UTC().Format(time.RFC3339), strconv.Itoa(int(x.NotAfter.Sub(c.Now()).Hours()/24)))
		}
	}
	c.Done("%d certificates", len(c.Reply.Items))
	return nil
}

// nameOf is the one name of a call.
func nameOf(c *contract.Call, options ...string) (string, contract.Args, error) {
	a, err := c.Parse(1, 1, options...)
	if err == nil && !nameForm.MatchString(a.Rest[0]) {
		err = contract.Invalid("name %q: want a domain, or another name of a-z, 0-9, dots, dashes and *", a.Rest[0])
	}
	if err != nil {
		return "", a, err
	}
	return a.Rest[0], a, nil
}

func install(c *contract.Call) (contract.Steps, error) {
	name, a, err := nameOf(c, "reload SERVER")
	if err != nil {
		return contract.Steps{}, err
	}
	var s server.Server
	if a.Has("reload") {
		var ok bool
		if s, ok = server.ByName(a.Option("reload")); !ok {
			return contract.Steps{}, contract.Invalid("server %q: is not known", a.Option("reload"))
		}
	}
	dir := filepath.Join(c.Root, Dir, name)
	paths := []string{filepath.Join(dir, "key.pem"), filepath.Join(dir, "fullchain.pem")}
	var before [2][]byte
	var p pair
	put := func(texts [2][]byte) error {
		for i, at := range paths {
			var err error
			if texts[i] == nil {
				err = os.Remove(at)
			} else {
				err = file.Write(at, texts[i], file.Owned{Mode: []fs.FileMode{0o600, 0o644}[i], Force: true})
			}
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
		return nil
	}
	return contract.Steps{
		Pre: func(context.Context) (err error) {
			if a.Has("reload") && s.Program(c.Root) == "" {
				return &jem.Error{Code: "unavailable", Reason: "this container has no " + s.Name, Next: "leave --reload out"}
			}
			p, err = given(c)
			return err
		},
		Do: func(context.Context) (err error) {
			if err := os.MkdirAll(dir, 0o755); err != nil {
				return err
			}
			for i, at := range paths {
				if before[i], err = file.Read(at, maxPEM); err != nil && !errors.Is(err, fs.ErrNotExist) {
					return err
				}
				if err = c.Was(at); err != nil {
					return err
				}
			}
			return put([2][]byte{p.keyPEM, p.chainPEM})
		},
		Post: func(ctx context.Context) error {
			if a.Has("reload") {
				said, _, err := s.Verify(ctx, c.Root, s.Main)
				c.Said(said)
				if err == nil {
					err = service.Reload(ctx, c, s.Called(c.Root))
				}
				if err != nil {
					return err
				}
			}
			c.Done("%s is in place: %s", name, p.says(c.Now()))
			return nil
		},
		Undo: func(context.Context) error { return put(before) },
	}, nil
}

func remove(c *contract.Call) (contract.Steps, error) {
	name, _, err := nameOf(c)
	return contract.Steps{Do: func(context.Context) error {
		dir := filepath.Join(c.Root, Dir, name)
		if _, err := os.Stat(dir); err != nil {
			return &jem.Error{Code: "not_found", Reason: "there is no certificate " + name, Next: "jem ssl list"}
		}
		if err := os.RemoveAll(dir); err != nil {
			return err
		}
		c.Done("%s is gone", name)
		return nil
	}}, err
}
