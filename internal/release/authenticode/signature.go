package authenticode

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"io"
	"math/big"
	"slices"
)

// Signer is a key and its certificate. Firmware knows RSA.
type Signer struct {
	Certificate *x509.Certificate
	Key         *rsa.PrivateKey
}

var (
	oidSignedData   = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 2}
	oidData         = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 1}
	oidContentType  = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 3}
	oidDigest       = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 4}
	oidIndirect     = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 311, 2, 1, 4}
	oidImage        = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 311, 2, 1, 15}
	oidSHA256       = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 1}
	oidRSA          = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 1}
	sha256Algorithm = pkix.AlgorithmIdentifier{Algorithm: oidSHA256, Parameters: asn1.NullRawValue}
	rsaAlgorithm    = pkix.AlgorithmIdentifier{Algorithm: oidRSA, Parameters: asn1.NullRawValue}
)

// The forms of RFC 2315 and of Microsoft's document, as far as they are used.
type (
	contentInfo struct {
		Type    asn1.ObjectIdentifier
		Content asn1.RawValue `asn1:"explicit,optional,tag:0"`
	}
	signedDataForm struct {
		Version      int
		Digests      []pkix.AlgorithmIdentifier `asn1:"set"`
		Content      contentInfo
		Certificates asn1.RawValue `asn1:"optional,tag:0"`
		Lists        asn1.RawValue `asn1:"optional,tag:1"`
		Signers      []signerInfo  `asn1:"set"`
	}
	issuerAndSerial struct {
		Issuer asn1.RawValue
		Serial *big.Int
	}
	signerInfo struct {
		Version    int
		Who        issuerAndSerial
		Digest     pkix.AlgorithmIdentifier
		Attributes asn1.RawValue `asn1:"optional,tag:0"`
		Algorithm  pkix.AlgorithmIdentifier
		Signature  []byte
		Others     asn1.RawValue `asn1:"optional,tag:1"`
	}
	attribute struct {
		Type   asn1.ObjectIdentifier
		Values asn1.RawValue
	}
	digestInfo struct {
		Algorithm pkix.AlgorithmIdentifier
		Digest    []byte
	}
	indirect struct {
		Data struct {
			Type  asn1.ObjectIdentifier
			Value asn1.RawValue
		}
		Digest digestInfo
	}
)

// imageData is an SpcPeImageData without flags, whose file is the text that the format's document asks for, in UTF-16.
func imageData() asn1.RawValue {
	var text []byte
	for _, c := range "<<<Obsolete>>>" {
		text = append(text, byte(c>>8), byte(c))
	}
	wrap := func(class, tag int, compound bool, inner []byte) []byte {
		raw, err := asn1.Marshal(asn1.RawValue{Class: class, Tag: tag, IsCompound: compound, Bytes: inner})
		if err != nil {
			panic("BUG: a constant does not encode: " + err.Error())
		}
		return raw
	}
	link := wrap(asn1.ClassContextSpecific, 2, true, wrap(asn1.ClassContextSpecific, 0, false, text))
	flags := wrap(asn1.ClassUniversal, asn1.TagBitString, false, []byte{0})
	all := append(flags, wrap(asn1.ClassContextSpecific, 0, true, link)...)
	return asn1.RawValue{FullBytes: wrap(asn1.ClassUniversal, asn1.TagSequence, true, all)}
}

// signProgram makes the signature of a program with that digest: a whole ContentInfo.
func signProgram(sum [32]byte, s Signer) ([]byte, error) {
	var content indirect
	content.Data.Type, content.Data.Value = oidImage, imageData()
	content.Digest = digestInfo{sha256Algorithm, sum[:]}
	raw, err := asn1.Marshal(content)
	if err != nil {
		return nil, err
	}
	var inner asn1.RawValue
	if _, err := asn1.Unmarshal(raw, &inner); err != nil {
		return nil, err
	}
	of := sha256.Sum256(inner.Bytes) // without its own tag and length
	attributes, err := attributesOf(of)
	if err != nil {
		return nil, err
	}
	set := asn1.RawValue{Class: asn1.ClassUniversal, Tag: asn1.TagSet, IsCompound: true, Bytes: attributes}
	signed, err := asn1.Marshal(set)
	if err != nil {
		return nil, err
	}
	info := contentInfo{Type: oidIndirect, Content: asn1.RawValue{FullBytes: explicit(raw)}}
	der, err := signedDataOf(info, attributes, sha256.Sum256(signed), s)
	if err != nil {
		return nil, err
	}
	return asn1.Marshal(contentInfo{Type: oidSignedData, Content: asn1.RawValue{FullBytes: explicit(der)}})
}

// SignDetached signs data that lies elsewhere, as variables of firmware are signed (UEFI 8.2.2): a SignedData without attributes.
func SignDetached(data []byte, s Signer) ([]byte, error) {
	return signedDataOf(contentInfo{Type: oidData}, nil, sha256.Sum256(data), s)
}

func signedDataOf(content contentInfo, attributes []byte, sum [32]byte, s Signer) ([]byte, error) {
	signature, err := rsa.SignPKCS1v15(rand.Reader, s.Key, crypto.SHA256, sum[:])
	if err != nil {
		return nil, err
	}
	info := signerInfo{Version: 1, Who: issuerAndSerial{asn1.RawValue{FullBytes: s.Certificate.RawIssuer}, s.Certificate.SerialNumber},
		Digest: sha256Algorithm, Algorithm: rsaAlgorithm, Signature: signature}
	if attributes != nil {
		info.Attributes = asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: 0, IsCompound: true, Bytes: attributes}
	}
	return asn1.Marshal(signedDataForm{Version: 1, Digests: []pkix.AlgorithmIdentifier{sha256Algorithm}, Content: content,
		Certificates: asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: 0, IsCompound: true, Bytes: s.Certificate.Raw},
		Signers:      []signerInfo{info}})
}

// explicit puts [0] around a value.
func explicit(raw []byte) []byte {
	out, err := asn1.Marshal(asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: 0, IsCompound: true, Bytes: raw})
	if err != nil {
		panic("BUG: a value does not encode: " + err.Error())
	}
	return out
}

// attributesOf are the two that a signature with content must have, in the order of their encoding.
func attributesOf(sum [32]byte) ([]byte, error) {
	var list [][]byte
	for _, a := range []struct {
		id    asn1.ObjectIdentifier
		value any
	}{{oidContentType, oidIndirect}, {oidDigest, sum[:]}} {
		value, err := asn1.Marshal(a.value)
		if err != nil {
			return nil, err
		}
		set := asn1.RawValue{Class: asn1.ClassUniversal, Tag: asn1.TagSet, IsCompound: true, Bytes: value}
		raw, err := asn1.Marshal(attribute{a.id, set})
		if err != nil {
			return nil, err
		}
		list = append(list, raw)
	}
	slices.SortFunc(list, bytes.Compare)
	return slices.Concat(list...), nil
}

// Believed is what a firmware starts, and what it does not start whoever signed it.
type Believed struct {
	Certificates, Refused   []*x509.Certificate
	Digests, RefusedDigests [][32]byte // of programs
}

// ErrRefused: a firmware that believes this would not start the program.
var ErrRefused = errors.New("no key that the firmware believes has signed it")

// Check tells why a firmware would not start a program, or nil. As with firmware, the end of a certificate does not count.
func Check(r io.ReaderAt, size int64, b Believed) error {
	p, err := open(r, size)
	if err != nil {
		return err
	}
	sum, err := p.digest()
	if err != nil {
		return err
	}
	if slices.Contains(b.RefusedDigests, sum) {
		return fmt.Errorf("%w: the firmware's list of what is revoked (dbx) has its digest", ErrRefused)
	}
	if slices.Contains(b.Digests, sum) {
		return nil
	}
	list, err := p.signatures()
	if err != nil {
		return err
	}
	if len(list) == 0 {
		return fmt.Errorf("%w: it has no signature", ErrRefused)
	}
	for _, raw := range list {
		if err = check(raw, sum, b); err == nil {
			return nil
		}
	}
	return fmt.Errorf("%w: %v", ErrRefused, err)
}

// check is one signature.
func check(raw []byte, sum [32]byte, b Believed) error {
	var outer contentInfo
	if _, err := asn1.Unmarshal(raw, &outer); err != nil || !outer.Type.Equal(oidSignedData) {
		return errors.New("its signature is not of PKCS #7")
	}
	var d signedDataForm
	if _, err := asn1.Unmarshal(outer.Content.Bytes, &d); err != nil || len(d.Signers) != 1 || !d.Content.Type.Equal(oidIndirect) {
		return errors.New("its signature has another form")
	}
	var content indirect
	if _, err := asn1.Unmarshal(d.Content.Content.Bytes, &content); err != nil || !content.Digest.Algorithm.Algorithm.Equal(oidSHA256) {
		return errors.New("its signature is of no SHA-256")
	}
	if !bytes.Equal(content.Digest.Digest, sum[:]) {
		return errors.New("it was changed after it was signed")
	}
	var inner asn1.RawValue
	if _, err := asn1.Unmarshal(d.Content.Content.Bytes, &inner); err != nil {
		return err
	}
	s := d.Signers[0]
	if err := saysDigest(s.Attributes.Bytes, sha256.Sum256(inner.Bytes)); err != nil {
		return err
	}
	certs, err := x509.ParseCertificates(d.Certificates.Bytes)
	if err != nil {
		return fmt.Errorf("its signature's certificates can't be read: %v", err)
	}
	i := slices.IndexFunc(certs, func(c *x509.Certificate) bool {
		return bytes.Equal(c.RawIssuer, s.Who.Issuer.FullBytes) && c.SerialNumber.Cmp(s.Who.Serial) == 0
	})
	if i < 0 {
		return errors.New("its signature has no certificate of who signed")
	}
	signer := certs[i]
	signed, err := asn1.Marshal(asn1.RawValue{Class: asn1.ClassUniversal, Tag: asn1.TagSet, IsCompound: true, Bytes: s.Attributes.Bytes})
	if err != nil {
		return err
	}
	key, ok := signer.PublicKey.(*rsa.PublicKey)
	digest := sha256.Sum256(signed)
	if !ok || rsa.VerifyPKCS1v15(key, crypto.SHA256, digest[:], s.Signature) != nil {
		return errors.New("its signature is wrong")
	}
	return b.signer(signer, certs)
}

// saysDigest looks for the digest of the content among the attributes.
func saysDigest(raw []byte, want [32]byte) error {
	for len(raw) > 0 {
		var a attribute
		rest, err := asn1.Unmarshal(raw, &a)
		if err != nil {
			return errors.New("its signature's attributes can't be read")
		}
		raw = rest
		var got []byte
		if !a.Type.Equal(oidDigest) {
			continue
		}
		if _, err := asn1.Unmarshal(a.Values.Bytes, &got); err == nil && bytes.Equal(got, want[:]) {
			return nil
		}
	}
	return errors.New("its signature is of something else")
}

// signer tells whether a certificate is believed: by itself, or through others that came with the signature.
func (b Believed) signer(signer *x509.Certificate, others []*x509.Certificate) error {
	roots, between := x509.NewCertPool(), x509.NewCertPool()
	for _, c := range b.Certificates {
		roots.AddCert(c)
	}
	for _, c := range others {
		between.AddCert(c)
	}
	chains, err := signer.Verify(x509.VerifyOptions{Roots: roots, Intermediates: between, CurrentTime: signer.NotBefore,
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}})
	if err != nil {
		return fmt.Errorf("it is signed by %q, whom the firmware's list (db) does not have", signer.Subject.CommonName)
	}
	for _, chain := range chains {
		if !slices.ContainsFunc(chain, func(c *x509.Certificate) bool {
			return slices.ContainsFunc(b.Refused, c.Equal)
		}) {
			return nil
		}
	}
	return fmt.Errorf("it is signed by %q, whom the firmware's list of what is revoked (dbx) has", signer.Subject.CommonName)
}
