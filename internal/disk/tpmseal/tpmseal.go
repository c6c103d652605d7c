// Package tpmseal keeps a secret so that one machine's TPM alone gives it back, and only while secure boot is as it was.
//
// Owns: the template of the key that seals; what a sealed secret is bound to.
// In: a TPM 2.0; a secret of at most 64 bytes.
// Out: what is kept of it outside the TPM, which is no secret; the secret again, or an error that says which of both has changed.
// Never: writes into the TPM for good, or trusts the wires to it: the secret travels encrypted, to the TPM that sealed it and no other.
//
// Sources: "TPM 2.0 Library", part 3; "TCG PC Client Platform Firmware Profile", 3.3.4 (PCR 7: secure boot's state, its keys, and which of
// them the loader was signed with); "TCG EK Credential Profile" for the template.
package tpmseal

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"
)

// SecureBoot is the register of secure boot.
const SecureBoot = 7

// Sealed is what is kept of a secret.
type Sealed struct {
	PCRs    []uint `json:"pcrs,omitempty"` // bound to, of the bank sha256; none: to the TPM alone
	Parent  []byte `json:"parent"`         // the name of the TPM's key that it is under
	Public  []byte `json:"public"`
	Private []byte `json:"private"`
}

// What may have changed.
var (
	ErrOther   = errors.New("this is another TPM than the one that sealed it, or it was cleared")
	ErrChanged = errors.New("secure boot was switched, its keys were changed, or something else was booted than when it was sealed (PCR 7)")
)

// root is the TPM's storage key, which it makes anew from its own seed.
type root struct {
	tpm    transport.TPM
	handle tpm2.TPMHandle
	name   tpm2.TPM2BName
	public tpm2.TPMTPublic
}

func open(tpm transport.TPM) (*root, error) {
	made, err := tpm2.CreatePrimary{PrimaryHandle: tpm2.TPMRHOwner, InPublic: tpm2.New2B(tpm2.ECCSRKTemplate)}.Execute(tpm)
	if err != nil {
		return nil, fmt.Errorf("make the TPM's storage key: %w", err)
	}
	r := &root{tpm: tpm, handle: made.ObjectHandle, name: made.Name}
	public, err := made.OutPublic.Contents()
	if err != nil {
		r.close()
		return nil, fmt.Errorf("read the TPM's storage key: %w", err)
	}
	r.public = *public
	return r, nil
}

func (r *root) close() { r.flush(r.handle) }

// flush frees a place in the TPM. An error is nobody's: the kernel frees what a closed descriptor leaves.
func (r *root) flush(h tpm2.TPMHandle) { tpm2.FlushContext{FlushHandle: h}.Execute(r.tpm) }

// Sessions whose first parameter, on the way in or out, is encrypted for this TPM.
var (
	in  = tpm2.AESEncryption(128, tpm2.EncryptIn)
	out = tpm2.AESEncryption(128, tpm2.EncryptOut)
)

// parent lets the storage key be used, in such a session.
func (r *root) parent() tpm2.AuthHandle {
	return tpm2.AuthHandle{Handle: r.handle, Name: r.name,
		Auth: tpm2.HMAC(tpm2.TPMAlgSHA256, 16, tpm2.Salted(r.handle, r.public), in)}
}

func selection(pcrs []uint) tpm2.TPMLPCRSelection {
	return tpm2.TPMLPCRSelection{PCRSelections: []tpm2.TPMSPCRSelection{{Hash: tpm2.TPMAlgSHA256,
		PCRSelect: tpm2.PCClientCompatible.PCRs(pcrs...)}}}
}

// policy is the digest that a session has which looked at the registers as they are now.
func (r *root) policy(pcrs []uint) ([]byte, error) {
	read, err := tpm2.PCRRead{PCRSelectionIn: selection(pcrs)}.Execute(r.tpm)
	if err != nil {
		return nil, fmt.Errorf("read the TPM's registers: %w", err)
	}
	if len(read.PCRValues.Digests) != len(pcrs) { // a bank that is switched off would bind to nothing
		return nil, errors.New("read the TPM's registers: it keeps none of SHA-256; switch that bank on in the firmware's menu")
	}
	s, end, err := tpm2.PolicySession(r.tpm, tpm2.TPMAlgSHA256, 16, tpm2.Trial())
	if err != nil {
		return nil, fmt.Errorf("begin a session with the TPM: %w", err)
	}
	defer end()
	if _, err := (tpm2.PolicyPCR{PolicySession: s.Handle(), Pcrs: selection(pcrs)}).Execute(r.tpm); err != nil {
		return nil, fmt.Errorf("bind to the TPM's registers: %w", err)
	}
	d, err := tpm2.PolicyGetDigest{PolicySession: s.Handle()}.Execute(r.tpm)
	if err != nil {
		return nil, fmt.Errorf("bind to the TPM's registers: %w", err)
	}
	return d.PolicyDigest.Buffer, nil
}

// Seal binds a secret to the TPM, and to what the registers hold now.
func Seal(tpm transport.TPM, secret []byte, pcrs ...uint) (s Sealed, err error) {
	r, err := open(tpm)
	if err != nil {
		return s, err
	}
	defer r.close()
	public := tpm2.TPMTPublic{Type: tpm2.TPMAlgKeyedHash, NameAlg: tpm2.TPMAlgSHA256,
		ObjectAttributes: tpm2.TPMAObject{FixedTPM: true, FixedParent: true, NoDA: true, UserWithAuth: len(pcrs) == 0}}
	if len(pcrs) > 0 {
		digest, err := r.policy(pcrs)
		if err != nil {
			return s, err
		}
		public.AuthPolicy = tpm2.TPM2BDigest{Buffer: digest}
	}
	made, err := tpm2.Create{ParentHandle: r.parent(), InPublic: tpm2.New2B(public),
		InSensitive: tpm2.TPM2BSensitiveCreate{Sensitive: &tpm2.TPMSSensitiveCreate{
			Data: tpm2.NewTPMUSensitiveCreate(&tpm2.TPM2BSensitiveData{Buffer: secret})}}}.Execute(tpm)
	if err != nil {
		return s, fmt.Errorf("seal by the TPM: %w", err)
	}
	return Sealed{PCRs: pcrs, Parent: r.name.Buffer, Public: made.OutPublic.Bytes(), Private: made.OutPrivate.Buffer}, nil
}

// Unseal gives the secret back. ErrOther and ErrChanged say why it does not.
func Unseal(tpm transport.TPM, s Sealed) ([]byte, error) {
	r, err := open(tpm)
	if err != nil {
		return nil, err
	}
	defer r.close()
	if !bytes.Equal(r.name.Buffer, s.Parent) {
		return nil, ErrOther
	}
	loaded, err := tpm2.Load{ParentHandle: r.parent(), InPublic: tpm2.BytesAs2B[tpm2.TPMTPublic](s.Public),
		InPrivate: tpm2.TPM2BPrivate{Buffer: s.Private}}.Execute(tpm)
	if errors.Is(err, tpm2.TPMRCIntegrity) {
		return nil, fmt.Errorf("%w (%v)", ErrOther, err)
	}
	if err != nil {
		return nil, fmt.Errorf("load what the TPM sealed: %w", err)
	}
	defer r.flush(loaded.ObjectHandle)
	salted := tpm2.Salted(r.handle, r.public)
	auth := tpm2.HMAC(tpm2.TPMAlgSHA256, 16, salted, out)
	if len(s.PCRs) > 0 {
		auth = tpm2.Policy(tpm2.TPMAlgSHA256, 16, func(tpm transport.TPM, h tpm2.TPMISHPolicy, _ tpm2.TPM2BNonce) error {
			_, err := tpm2.PolicyPCR{PolicySession: h, Pcrs: selection(s.PCRs)}.Execute(tpm)
			return err
		}, salted, out)
	}
	given, err := tpm2.Unseal{ItemHandle: tpm2.AuthHandle{Handle: loaded.ObjectHandle, Name: loaded.Name, Auth: auth}}.Execute(tpm)
	if errors.Is(err, tpm2.TPMRCPolicyFail) {
		return nil, ErrChanged
	}
	if err != nil {
		return nil, fmt.Errorf("unseal by the TPM: %w", err)
	}
	return given.OutData.Buffer, nil
}
