// Package vault keeps STATE encrypted: only this machine's TPM opens it, or who has the recovery key.
//
// Owns: which key slots STATE's header has; to what of secure boot its key is bound, and when; the text of a recovery key.
// In: STATE's partition; the machine's TPM; a recovery key that a person typed.
// Out: a device that has STATE in the clear; the reason why there is none, with the next step.
// Never: writes a key anywhere in the clear, tells one to a log, or gives up a way to open STATE before another one is on the disk.
//
// At the installation the key is bound to the TPM alone: the firmware may be given its keys only at the first boot from the disk. The next
// boot that is not in setup mode binds it to secure boot's register as well (PCR 7), which updates of the system leave as it is.
package vault

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/google/go-tpm/tpm2/transport"
	"github.com/google/go-tpm/tpm2/transport/linuxtpm"
	"golang.org/x/sys/unix"

	"hardnode.dev/internal/disk/efi"
	"hardnode.dev/internal/disk/luks"
	"hardnode.dev/internal/disk/mapper"
	"hardnode.dev/internal/disk/tpmseal"
	"hardnode.dev/internal/secret"
)

// The key slots: the recovery key's, and two for the TPM, of which one is used: the other is written before that one goes.
const (
	recoverySlot = 0
	firstTPM     = 1
	lastTPM      = 2
)

const (
	kind  = "hardnode-tpm2" // of the TPM's tokens
	name  = "hardnode-state"
	label = "hardnode-state"
	// device is the TPM's, by the kernel's own keeper of its few places.
	device = "/dev/tpmrm0"
)

// ErrNoTPM: the machine has none.
var ErrNoTPM = errors.New("this machine shows no TPM 2.0; switch it on in the firmware's menu")

// Vault is STATE's partition and what opens it.
type Vault struct {
	file       func() (file, error)
	tpm        func() (transport.TPMCloser, error)
	secureBoot func() efi.SecureBoot
	memory     uint32 // KiB that the machine has
	partition  string
}

// file is a partition or, in tests, a file.
type file interface {
	luks.File
	Close() error
}

// Of is the vault on a partition of this machine.
func Of(partition string) *Vault {
	var i unix.Sysinfo_t
	if err := unix.Sysinfo(&i); err != nil {
		panic("BUG: sysinfo: " + err.Error())
	}
	return &Vault{partition: partition, tpm: openTPM, secureBoot: efi.Vars{Dir: efi.Dir}.SecureBoot,
		memory: uint32(i.Totalram * uint64(i.Unit) >> 10),
		file:   func() (file, error) { return os.OpenFile(partition, os.O_RDWR, 0) }}
}

func openTPM() (transport.TPMCloser, error) {
	tpm, err := linuxtpm.Open(device)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, ErrNoTPM
	}
	return tpm, err
}

// Usable tells why this machine can't seal, or nil.
func Usable() error { return usable(openTPM) }

func usable(open func() (transport.TPMCloser, error)) error {
	tpm, err := open()
	if err != nil {
		return err
	}
	defer tpm.Close()
	_, err = tpmseal.Seal(tpm, make([]byte, 32), tpmseal.SecureBoot)
	return err
}

// cost is that of a guess at the recovery key, bounded by what the machine has.
func (v *Vault) cost() luks.Cost { return luks.Cost{MemoryKiB: min(32<<10, v.memory/16), Time: 4} }

// Make makes STATE's partition an encrypted one, and opens it. recovery is the only copy of the recovery key.
func (v *Vault) Make() (path string, recovery secret.Text, err error) {
	f, err := v.file()
	if err != nil {
		return "", "", err
	}
	defer f.Close()
	h, key, err := luks.Format(f, label)
	if err != nil {
		return "", "", fmt.Errorf("encrypt STATE: %w", err)
	}
	defer clear(key)
	if recovery, err = newRecovery(); err != nil {
		return "", "", err
	}
	if err := h.SetSlot(recoverySlot, plain(string(recovery.Reveal())), key, v.cost(), "", nil); err != nil {
		return "", "", fmt.Errorf("encrypt STATE: %w", err)
	}
	if err := v.seal(h, key); err != nil {
		return "", "", fmt.Errorf("encrypt STATE: %w", err)
	}
	path, err = v.mapped(key)
	return path, recovery, err
}

// seal writes a new TPM slot, bound to the registers given, and drops the one before.
func (v *Vault) seal(h *luks.Header, key []byte, pcrs ...uint) error {
	tpm, err := v.tpm()
	if err != nil {
		return err
	}
	defer tpm.Close()
	own := make([]byte, 32)
	defer clear(own)
	if _, err := rand.Read(own); err != nil {
		return err
	}
	s, err := tpmseal.Seal(tpm, own, pcrs...)
	if err != nil {
		return err
	}
	var old []int
	next := firstTPM
	for n := firstTPM; n <= lastTPM; n++ {
		if ok, _ := h.Token(n, kind, &tpmseal.Sealed{}); ok {
			old = append(old, n)
		}
	}
	if len(old) == 1 && old[0] == firstTPM {
		next = lastTPM
	}
	if err := h.SetSlot(next, own, key, luks.Cost{}, kind, map[string]any{"pcrs": s.PCRs, "parent": s.Parent, "public": s.Public,
		"private": s.Private}); err != nil {
		return err
	}
	for _, n := range old {
		if n != next {
			if err := h.DropSlot(n); err != nil {
				return err
			}
		}
	}
	return nil
}

// Open opens STATE by the TPM. note is for people: to what its key is bound.
func (v *Vault) Open() (path, note string, err error) {
	key, note, err := v.key()
	if err != nil {
		return "", "", err
	}
	defer clear(key)
	path, err = v.mapped(key)
	return path, note, err
}

func (v *Vault) key() (key []byte, note string, err error) {
	f, err := v.file()
	if err != nil {
		return nil, "", err
	}
	defer f.Close()
	h, err := luks.Open(f)
	if err != nil {
		return nil, "", err
	}
	s, key, err := v.unseal(h)
	if err != nil {
		return nil, "", err
	}
	if len(s.PCRs) > 0 {
		return key, "bound to the TPM and to secure boot (PCR 7)", nil
	}
	if v.secureBoot() == efi.Setup {
		return key, "bound to the TPM alone: the firmware is in setup mode", nil
	}
	if err := v.seal(h, key, tpmseal.SecureBoot); err != nil { // it opens all the same, and is tried again at the next boot
		return key, "bound to the TPM alone: " + err.Error(), nil
	}
	return key, "now bound to the TPM and to secure boot (PCR 7)", nil
}

// unseal tries the TPM's slots.
func (v *Vault) unseal(h *luks.Header) (s tpmseal.Sealed, key []byte, err error) {
	tpm, err := v.tpm()
	if err != nil {
		return s, nil, err
	}
	defer tpm.Close()
	err = errors.New("its header has no key for a TPM")
	for n := firstTPM; n <= lastTPM; n++ {
		ok, e := h.Token(n, kind, &s)
		if e != nil {
			err = e
		}
		if !ok || e != nil {
			continue
		}
		own, e := tpmseal.Unseal(tpm, s)
		if e == nil {
			key, e = h.Unlock(n, own, 0)
			clear(own)
		}
		if e == nil {
			return s, key, nil
		}
		err = e
	}
	return s, nil, err
}

// Recover opens STATE by the recovery key, and gives its key to the TPM that the machine has now: the next boot opens it.
func (v *Vault) Recover(recovery secret.Text) error {
	f, err := v.file()
	if err != nil {
		return err
	}
	defer f.Close()
	h, err := luks.Open(f)
	if err != nil {
		return err
	}
	key, err := h.Unlock(recoverySlot, plain(recovery.Reveal()), v.memory/4)
	if errors.Is(err, luks.ErrWrong) {
		return errors.New("that is not the recovery key of this STATE; it was shown once, by the installation")
	}
	if err != nil {
		return err
	}
	defer clear(key)
	if err := v.seal(h, key); err != nil {
		return fmt.Errorf("the recovery key is right, but its TPM can't be given the key: %w", err)
	}
	return nil
}

// mapped is the device of STATE in the clear.
func (v *Vault) mapped(key []byte) (string, error) {
	size, err := sectors(v.partition)
	if err != nil {
		return "", err
	}
	return mapper.Crypt(name, v.partition, luks.DataAt, size-luks.DataAt, key)
}

// Close ends the device that Make or Open made. Nobody may use it.
func Close() error { return mapper.Close(name) }

// sectors is a partition's size in bytes.
func sectors(partition string) (int64, error) {
	raw, err := os.ReadFile(filepath.Join("/sys/class/block", filepath.Base(partition), "size"))
	if err != nil {
		return 0, fmt.Errorf("measure %s: %w", partition, err)
	}
	var n int64
	if _, err := fmt.Sscan(string(raw), &n); err != nil {
		return 0, fmt.Errorf("measure %s: %w", partition, err)
	}
	return n * 512, nil
}

// letters are those of recovery keys: none looks like another (Crockford's base 32).
const letters = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"

// A recovery key has so many groups of so many letters, 5 bits each: 160 bits.
const (
	groups    = 8
	perGroup  = 4
	recovered = groups * perGroup
)

func newRecovery() (secret.Text, error) {
	raw := make([]byte, recovered)
	if _, err := rand.Read(raw); err != nil {
		return "", err
	}
	var b strings.Builder
	for i, c := range raw {
		if i > 0 && i%perGroup == 0 {
			b.WriteByte('-')
		}
		b.WriteByte(letters[c&31])
	}
	return secret.Text(b.String()), nil
}

// plain is a recovery key as a person may have typed it, in its one form.
func plain(typed string) []byte {
	typed = strings.ToUpper(strings.Join(strings.FieldsFunc(typed, func(r rune) bool { return r == '-' || r == ' ' }), ""))
	return bytes.Map(func(r rune) rune {
		switch r {
		case 'O':
			return '0'
		case 'I', 'L':
			return '1'
		}
		return r
	}, []byte(typed))
}
