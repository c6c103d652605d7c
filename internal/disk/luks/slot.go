package luks

import (
	"crypto/aes"
	stdpbkdf2 "crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"golang.org/x/crypto/argon2"
	"golang.org/x/crypto/xts"
)

// Bounds of what a header may ask for.
const (
	stripes     = 4000
	sector      = 512
	leastRounds = 1000
	mostRounds  = 10_000_000
	mostTime    = 64
	mostCPUs    = 16
)

// Cost is how dear it is to try a passphrase.
type Cost struct {
	// MemoryKiB and Time are those of argon2id; a MemoryKiB of 0 is pbkdf2 with few rounds: for random keys of 32 bytes and more.
	MemoryKiB, Time uint32
}

// ErrWrong: the passphrase does not open the slot.
var ErrWrong = errors.New("the key does not fit")

func pbkdf2(secret, salt []byte, rounds, size int) ([]byte, error) {
	return stdpbkdf2.Key(sha256.New, string(secret), salt, rounds, size)
}

// derive is the key of a slot's area. A header can't make it take more memory than most, in KiB.
func (k kdf) derive(passphrase []byte, most uint32) ([]byte, error) {
	switch k.Type {
	case "argon2id":
		if k.Memory > most || k.Time > mostTime || k.Time == 0 || k.CPUs == 0 || k.CPUs > mostCPUs {
			return nil, fmt.Errorf("the key slot asks for %d KiB of memory and %d rounds; this machine gives %d KiB and %d", k.Memory,
				k.Time, most, mostTime)
		}
		return argon2.IDKey(passphrase, k.Salt, k.Time, k.Memory, k.CPUs, KeySize), nil
	case "pbkdf2":
		if k.Hash != hash || k.Iterations < leastRounds || k.Iterations > mostRounds {
			return nil, fmt.Errorf("the key slot asks for %d rounds of %q", k.Iterations, k.Hash)
		}
		return pbkdf2(passphrase, k.Salt, k.Iterations, KeySize)
	}
	return nil, fmt.Errorf("the key slot's kind %q is not known", k.Type)
}

// SetSlot lets a passphrase open the volume, whose key is given. token, when there is one, is a document that says how to find the
// passphrase; its "type" and "keyslots" are set here. What the slot had before is gone. The new key is on the disk before the header names
// it.
func (h *Header) SetSlot(n int, passphrase, key []byte, cost Cost, kind string, token map[string]any) error {
	if n < 0 || n >= Slots || !h.fits(key) {
		return fmt.Errorf("set key slot %d: there is no such slot, or the key is not the volume's", n)
	}
	k := keyslot{Type: "luks2", KeySize: KeySize, AF: splitter{"luks1", stripes, hash}, Area: area{"raw", fmt.Sprint(offset(n)),
		fmt.Sprint(areaSize), cipher, KeySize}, KDF: kdf{Type: "pbkdf2", Hash: hash, Iterations: leastRounds, Salt: make([]byte, 32)}}
	if cost.MemoryKiB > 0 {
		k.KDF = kdf{Type: "argon2id", Time: cost.Time, Memory: cost.MemoryKiB, CPUs: 1, Salt: make([]byte, 32)}
	}
	if _, err := rand.Read(k.KDF.Salt); err != nil {
		return err
	}
	under, err := k.KDF.derive(passphrase, cost.MemoryKiB)
	if err != nil {
		return fmt.Errorf("set key slot %d: %w", n, err)
	}
	if _, was := h.d.Keyslots[strconv.Itoa(n)]; was {
		if err := h.DropSlot(n); err != nil {
			return err
		}
	}
	material, err := split(key)
	if err != nil {
		return err
	}
	if err := crypt(material, under, (*xts.Cipher).Encrypt); err != nil {
		return err
	}
	if _, err := h.f.WriteAt(material, offset(n)); err != nil {
		return fmt.Errorf("set key slot %d: %w", n, err)
	}
	if err := h.f.Sync(); err != nil {
		return fmt.Errorf("set key slot %d: %w", n, err)
	}
	name, d := strconv.Itoa(n), h.d.Digests["0"]
	d.Keyslots = append(slices.Clone(d.Keyslots), name)
	h.d.Keyslots[name], h.d.Digests["0"] = k, d
	if token != nil {
		token["type"], token["keyslots"] = kind, []string{name}
		if h.d.Tokens[name], err = json.Marshal(token); err != nil {
			return err
		}
	}
	return h.write()
}

// DropSlot makes a slot's passphrase worthless: the header forgets it, and then its area is overwritten.
func (h *Header) DropSlot(n int) error {
	name := strconv.Itoa(n)
	d := h.d.Digests["0"]
	d.Keyslots = slices.DeleteFunc(slices.Clone(d.Keyslots), func(s string) bool { return s == name })
	delete(h.d.Keyslots, name)
	delete(h.d.Tokens, name)
	h.d.Digests["0"] = d
	if err := h.write(); err != nil {
		return err
	}
	noise := make([]byte, areaSize)
	if _, err := rand.Read(noise); err != nil {
		return err
	}
	if _, err := h.f.WriteAt(noise, offset(n)); err != nil {
		return fmt.Errorf("drop key slot %d: %w", n, err)
	}
	return h.f.Sync()
}

// Token reads the document of the slot's passphrase into v. False: the slot has none of that kind.
func (h *Header) Token(n int, kind string, v any) (bool, error) {
	raw, ok := h.d.Tokens[strconv.Itoa(n)]
	var head struct {
		Type string `json:"type"`
	}
	if !ok || json.Unmarshal(raw, &head) != nil || head.Type != kind {
		return false, nil
	}
	if _, ok := h.d.Keyslots[strconv.Itoa(n)]; !ok {
		return false, nil
	}
	if err := json.Unmarshal(raw, v); err != nil {
		return false, fmt.Errorf("read the token of key slot %d: %v", n, err)
	}
	return true, nil
}

// Unlock is the volume's key. most is how much memory the test of the passphrase may take, in KiB.
func (h *Header) Unlock(n int, passphrase []byte, most uint32) ([]byte, error) {
	k, ok := h.d.Keyslots[strconv.Itoa(n)]
	if !ok {
		return nil, fmt.Errorf("key slot %d is empty", n)
	}
	under, err := k.KDF.derive(passphrase, most)
	if err != nil {
		return nil, fmt.Errorf("open key slot %d: %w", n, err)
	}
	material := make([]byte, KeySize*stripes)
	if _, err := h.f.ReadAt(material, offset(n)); err != nil {
		return nil, fmt.Errorf("read key slot %d: %w", n, err)
	}
	if err := crypt(material, under, (*xts.Cipher).Decrypt); err != nil {
		return nil, err
	}
	key := merge(material)
	if !h.fits(key) {
		return nil, fmt.Errorf("open key slot %d: %w", n, ErrWrong)
	}
	return key, nil
}

// fits compares a key with the header's digest of it.
func (h *Header) fits(key []byte) bool {
	d := h.d.Digests["0"]
	sum, err := pbkdf2(key, d.Salt, d.Iterations, len(d.Digest))
	return err == nil && len(key) == KeySize && subtle.ConstantTimeCompare(sum, d.Digest) == 1
}

// crypt encrypts or decrypts an area in place, each sector under its number.
func crypt(area, key []byte, do func(*xts.Cipher, []byte, []byte, uint64)) error {
	c, err := xts.NewCipher(aes.NewCipher, key)
	if err != nil {
		return err
	}
	for i := 0; i+sector <= len(area); i += sector {
		do(c, area[i:i+sector], area[i:i+sector], uint64(i/sector))
	}
	return nil
}

// split spreads a key over many stripes, all of which are needed to have it again: a disk that keeps an old copy of one keeps nothing.
func split(key []byte) ([]byte, error) {
	out := make([]byte, len(key)*stripes)
	last := out[len(key)*(stripes-1):]
	if _, err := rand.Read(out[:len(out)-len(key)]); err != nil {
		return nil, err
	}
	copy(last, key)
	subtle.XORBytes(last, last, mixed(out[:len(out)-len(key)], len(key)))
	return out, nil
}

// merge is the way back.
func merge(material []byte) []byte {
	size := len(material) / stripes
	key := mixed(material[:len(material)-size], size)
	subtle.XORBytes(key, key, material[len(material)-size:])
	return key
}

// mixed is what all stripes but the last come to.
func mixed(all []byte, size int) []byte {
	d := make([]byte, size)
	for ; len(all) > 0; all = all[size:] {
		subtle.XORBytes(d, d, all[:size])
		for i := 0; i < size; i += sha256.Size {
			block := d[i:min(i+sha256.Size, size)]
			sum := sha256.Sum256(append(binary.BigEndian.AppendUint32(nil, uint32(i/sha256.Size)), block...))
			copy(block, sum[:])
		}
	}
	return d
}
