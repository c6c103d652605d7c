// Package luks reads and writes LUKS2 headers: how a partition that is encrypted says with which keys, and under what, its key lies.
//
// Owns: the form of both copies of a header and of key slots; the order of writes, so that at any cut one copy is whole.
// In: a device or a file; passphrases; how much memory a passphrase's test may take.
// Out: the key of the volume, to whoever knows a passphrase; headers that cryptsetup reads.
// Never: encrypts the volume itself (the kernel's dm-crypt does), keeps a passphrase, or does for a header what its bounds do not allow: a
// disk is the attacker.
//
// It knows what it writes: one segment and key slots of aes-xts-plain64, argon2id or pbkdf2, sha256. A header of others' making that has
// something else is refused.
//
// Source: "LUKS2 On-Disk Format Specification", version 1.1.1; for splitting a key, "LUKS1 On-Disk Format Specification", 2.4.
package luks

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
)

// File is a device or a file.
type File interface {
	io.ReaderAt
	io.WriterAt
	Sync() error
}

// Sizes in bytes. Areas of key slots follow the two headers.
const (
	binarySize = 4096
	headerSize = 16 << 10
	areasAt    = 2 * headerSize
	areaSize   = 258048 // KeySize × stripes, up to whole blocks of 4096
	// DataAt is where the volume's data begin, from the partition's start.
	DataAt = 16 << 20
	// KeySize is that of the volume's key: two of AES-256, for XTS.
	KeySize = 64
)

// Slots is how many key slots there may be.
const Slots = 8

const (
	magic1 = "LUKS\xba\xbe"
	magic2 = "SKUL\xba\xbe"
	cipher = "aes-xts-plain64"
	hash   = "sha256"
)

// binaryHeader is the first block of a header. All numbers are big-endian.
type binaryHeader struct {
	Magic     [6]byte
	Version   uint16
	Size      uint64
	Sequence  uint64
	Label     [48]byte
	Algorithm [32]byte
	Salt      [64]byte
	UUID      [40]byte
	Subsystem [48]byte
	Offset    uint64
	_         [184]byte
	Checksum  [64]byte
}

// The document behind it, as far as it is known here. Numbers of bytes are texts.
type (
	document struct {
		Keyslots map[string]keyslot         `json:"keyslots"`
		Tokens   map[string]json.RawMessage `json:"tokens"`
		Segments map[string]segment         `json:"segments"`
		Digests  map[string]digest          `json:"digests"`
		Config   config                     `json:"config"`
	}
	keyslot struct {
		Type    string   `json:"type"`
		KeySize int      `json:"key_size"`
		AF      splitter `json:"af"`
		Area    area     `json:"area"`
		KDF     kdf      `json:"kdf"`
	}
	splitter struct {
		Type    string `json:"type"`
		Stripes int    `json:"stripes"`
		Hash    string `json:"hash"`
	}
	area struct {
		Type       string `json:"type"`
		Offset     string `json:"offset"`
		Size       string `json:"size"`
		Encryption string `json:"encryption"`
		KeySize    int    `json:"key_size"`
	}
	kdf struct {
		Type       string `json:"type"`
		Time       uint32 `json:"time,omitempty"`
		Memory     uint32 `json:"memory,omitempty"` // KiB
		CPUs       uint8  `json:"cpus,omitempty"`
		Hash       string `json:"hash,omitempty"`
		Iterations int    `json:"iterations,omitempty"`
		Salt       []byte `json:"salt"`
	}
	segment struct {
		Type       string `json:"type"`
		Offset     string `json:"offset"`
		Size       string `json:"size"`
		Tweak      string `json:"iv_tweak"`
		Encryption string `json:"encryption"`
		Sector     int    `json:"sector_size"`
	}
	digest struct {
		Type       string   `json:"type"`
		Keyslots   []string `json:"keyslots"`
		Segments   []string `json:"segments"`
		Hash       string   `json:"hash"`
		Iterations int      `json:"iterations"`
		Salt       []byte   `json:"salt"`
		Digest     []byte   `json:"digest"`
	}
	config struct {
		JSONSize     string `json:"json_size"`
		KeyslotsSize string `json:"keyslots_size"`
	}
)

// Header is the header of a device.
type Header struct {
	f        File
	sequence uint64
	label    string
	uuid     string
	d        document
}

// ErrNone: the device has no LUKS2 header.
var ErrNone = errors.New("it has no LUKS2 header")

// Is tells whether a device begins with a LUKS header of either copy.
func Is(f io.ReaderAt) (bool, error) {
	for at, magic := range map[int64]string{0: magic1, headerSize: magic2} {
		b := make([]byte, len(magic))
		if _, err := f.ReadAt(b, at); err != nil {
			return false, fmt.Errorf("read byte %d: %w", at, err)
		}
		if string(b) == magic {
			return true, nil
		}
	}
	return false, nil
}

// Format makes a header of a device and returns its new key. It has no key slot yet: without SetSlot the key is lost.
func Format(f File, label string) (*Header, []byte, error) {
	key, salt, id := make([]byte, KeySize), make([]byte, 32), make([]byte, 16)
	for _, b := range [][]byte{key, salt, id} {
		if _, err := rand.Read(b); err != nil {
			return nil, nil, err
		}
	}
	id[6], id[8] = id[6]&0x0f|0x40, id[8]&0x3f|0x80
	sum, err := pbkdf2(key, salt, leastRounds, sha256.Size)
	if err != nil {
		return nil, nil, err
	}
	h := &Header{f: f, label: label, uuid: fmt.Sprintf("%x-%x-%x-%x-%x", id[:4], id[4:6], id[6:8], id[8:10], id[10:]), d: document{
		Keyslots: map[string]keyslot{}, Tokens: map[string]json.RawMessage{},
		Segments: map[string]segment{"0": {"crypt", fmt.Sprint(DataAt), "dynamic", "0", cipher, 512}},
		Digests:  map[string]digest{"0": {"pbkdf2", []string{}, []string{"0"}, hash, leastRounds, salt, sum}},
		Config:   config{fmt.Sprint(headerSize - binarySize), fmt.Sprint(DataAt - areasAt)}}}
	// What lay there before must not look like keys, or like the volume's.
	if err := zero(f, 0, DataAt+1<<20); err != nil {
		return nil, nil, err
	}
	return h, key, h.write()
}

func zero(f File, at, end int64) error {
	block := make([]byte, 1<<20)
	for ; at < end; at += int64(len(block)) {
		if _, err := f.WriteAt(block[:min(int64(len(block)), end-at)], at); err != nil {
			return fmt.Errorf("clear byte %d: %w", at, err)
		}
	}
	return nil
}

// Open reads the newer of the two copies that are whole.
func Open(f File) (*Header, error) {
	var best *Header
	var why error = ErrNone
	for at, magic := range map[int64]string{0: magic1, headerSize: magic2} {
		h, err := read(f, at, magic)
		switch {
		case err != nil && (errors.Is(why, ErrNone) || at == 0):
			why = err
		case err == nil && (best == nil || h.sequence > best.sequence):
			best = h
		}
	}
	if best == nil {
		return nil, why
	}
	return best, nil
}

func read(f File, at int64, magic string) (*Header, error) {
	raw := make([]byte, headerSize)
	if _, err := f.ReadAt(raw, at); err != nil {
		return nil, fmt.Errorf("read byte %d: %w", at, err)
	}
	var b binaryHeader
	if err := binary.Read(bytes.NewReader(raw), binary.BigEndian, &b); err != nil {
		return nil, err
	}
	if string(b.Magic[:]) != magic {
		return nil, ErrNone
	}
	if b.Version != 2 || b.Size != headerSize || b.Offset != uint64(at) || text(b.Algorithm[:]) != hash {
		return nil, fmt.Errorf("its header is of version %d and %d bytes, want 2 and %d", b.Version, b.Size, headerSize)
	}
	clear(raw[checksumAt:][:64])
	if sum := sha256.Sum256(raw); !bytes.Equal(sum[:], b.Checksum[:len(sum)]) {
		return nil, errors.New("its header is damaged: the checksum is another one")
	}
	h := &Header{f: f, sequence: b.Sequence, label: text(b.Label[:]), uuid: text(b.UUID[:])}
	doc, _, _ := bytes.Cut(raw[binarySize:], []byte{0})
	if err := json.Unmarshal(doc, &h.d); err != nil {
		return nil, fmt.Errorf("its header's document can't be read: %v", err)
	}
	return h, h.check()
}

// checksumAt is where it lies in a binaryHeader.
const checksumAt = 6 + 2 + 8 + 8 + 48 + 32 + 64 + 40 + 48 + 8 + 184

func text(b []byte) string {
	t, _, _ := bytes.Cut(b, []byte{0})
	return string(t)
}

// check holds a header to what is written here.
func (h *Header) check() error {
	s, one := h.d.Segments["0"]
	d, has := h.d.Digests["0"]
	switch {
	case !one || !has || len(h.d.Segments) != 1 || len(h.d.Digests) != 1:
		return errors.New("its header has not just one segment and digest")
	case s.Type != "crypt" || s.Encryption != cipher || s.Offset != fmt.Sprint(DataAt) || s.Size != "dynamic" || s.Tweak != "0" ||
		s.Sector != 512:
		return fmt.Errorf("its header's segment is another one than %s from byte %d on", cipher, DataAt)
	case d.Type != "pbkdf2" || d.Hash != hash || d.Iterations < leastRounds || d.Iterations > mostRounds || len(d.Digest) != sha256.Size:
		return errors.New("its header's digest is another one")
	}
	for name, k := range h.d.Keyslots {
		n, err := strconv.Atoi(name)
		if err != nil || n < 0 || n >= Slots || k.Area.Offset != fmt.Sprint(offset(n)) {
			return fmt.Errorf("its key slot %q lies elsewhere", name)
		}
		if k.Type != "luks2" || k.KeySize != KeySize || k.Area.Encryption != cipher || k.Area.KeySize != KeySize ||
			k.Area.Size != fmt.Sprint(areaSize) || k.AF != (splitter{"luks1", stripes, hash}) || !slices.Contains(d.Keyslots, name) {
			return fmt.Errorf("its key slot %q is of another kind", name)
		}
	}
	return nil
}

func offset(slot int) int64 { return areasAt + int64(slot)*areaSize }

// write writes both copies, one after the other, each with a salt of its own: at any cut one is whole.
func (h *Header) write() error {
	doc, err := json.Marshal(h.d)
	if err != nil {
		return err
	}
	if len(doc) >= headerSize-binarySize {
		return fmt.Errorf("the header's document has %d bytes, there is room for %d", len(doc), headerSize-binarySize-1)
	}
	h.sequence++
	for _, c := range []struct {
		at    int64
		magic string
	}{{0, magic1}, {headerSize, magic2}} {
		b := binaryHeader{Version: 2, Size: headerSize, Sequence: h.sequence, Offset: uint64(c.at)}
		copy(b.Magic[:], c.magic)
		copy(b.Label[:], h.label)
		copy(b.Algorithm[:], hash)
		copy(b.UUID[:], h.uuid)
		if _, err := rand.Read(b.Salt[:]); err != nil {
			return err
		}
		var out bytes.Buffer
		if err := binary.Write(&out, binary.BigEndian, b); err != nil {
			return err
		}
		raw := make([]byte, headerSize)
		copy(raw, out.Bytes())
		copy(raw[binarySize:], doc)
		sum := sha256.Sum256(raw)
		copy(raw[checksumAt:], sum[:])
		if _, err := h.f.WriteAt(raw, c.at); err != nil {
			return fmt.Errorf("write the header at byte %d: %w", c.at, err)
		}
		if err := h.f.Sync(); err != nil {
			return fmt.Errorf("write the header at byte %d: %w", c.at, err)
		}
	}
	return nil
}

// UUID is the volume's.
func (h *Header) UUID() string { return h.uuid }
