// Package authenticode signs EFI programs, and checks their signatures as a firmware with secure boot does.
//
// Owns: which bytes of a program are signed; where signatures lie in it; the form of a signature.
// In: a program; whoever holds a key; the certificates and digests that the firmware believes, and those it refuses.
// Out: a table of signatures, a signed program, an error that says why the firmware would not start one.
// Never: holds a private key, reads a variable of the firmware, or believes a program's own certificates.
//
// Sources: Microsoft's "Windows Authenticode Portable Executable Signature Format" and "PE Format"; RFC 2315 (PKCS #7); UEFI Specification
// 2.10, 32.4 and 32.5.
package authenticode

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
)

// Offsets in the headers, from the optional header on where nothing else is said.
const (
	peAt        = 0x3c // in the file: where the PE header begins
	coffSize    = 4 + 20
	optHeaders  = 60 // size of all headers
	optChecksum = 64
	optCount    = 108 // of data directories
	optCerts    = 112 + 4*8
	sectionSize = 40
	magic64     = 0x20b
	headMost    = 64 << 10 // bytes of headers
	certsMost   = 64 << 10 // bytes of signatures
)

// Kinds and alignment of entries of the table of signatures (WIN_CERTIFICATE).
const (
	revision   = 0x0200
	signedData = 0x0002
	certHead   = 8
	certAlign  = 8
)

// program is where things are in an EFI program.
type program struct {
	r                   io.ReaderAt
	size                int64
	opt                 int64
	head                []byte
	spans               [][2]int64 // of sections in the file, in order: first and behind the last byte
	certsAt, certsBytes int64
}

var little = binary.LittleEndian

func open(r io.ReaderAt, size int64) (*program, error) {
	bad := func(what string) (*program, error) {
		return nil, errors.New("it is no 64-bit EFI program: " + what)
	}
	head := make([]byte, min(size, headMost))
	if _, err := r.ReadAt(head, 0); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	if len(head) < peAt+4 || string(head[:2]) != "MZ" {
		return bad("it does not begin with MZ")
	}
	pe := int64(little.Uint32(head[peAt:]))
	p := &program{r: r, size: size, opt: pe + coffSize}
	if p.opt+optCerts+8 > int64(len(head)) || string(head[pe:pe+4]) != "PE\x00\x00" {
		return bad("it has no PE header")
	}
	if little.Uint16(head[p.opt:]) != magic64 || little.Uint32(head[p.opt+optCount:]) < 5 {
		return bad("its optional header is another one")
	}
	sections := int64(little.Uint16(head[pe+6:]))
	table := p.opt + int64(little.Uint16(head[pe+20:]))
	all := int64(little.Uint32(head[p.opt+optHeaders:]))
	if table+sections*sectionSize > all || all > int64(len(head)) || p.opt+optCerts+8 > table {
		return bad("its headers are cut off")
	}
	p.head = head[:all]
	for i := range sections {
		at := table + i*sectionSize
		bytes, raw := int64(little.Uint32(head[at+16:])), int64(little.Uint32(head[at+20:]))
		if bytes > 0 {
			p.spans = append(p.spans, [2]int64{raw, raw + bytes})
		}
	}
	slices.SortFunc(p.spans, func(a, b [2]int64) int { return cmp.Compare(a[0], b[0]) })
	end := all
	for _, s := range p.spans {
		if s[0] != end {
			return bad("its sections do not lie one behind the other")
		}
		end = s[1]
	}
	p.certsAt, p.certsBytes = int64(little.Uint32(head[p.opt+optCerts:])), int64(little.Uint32(head[p.opt+optCerts+4:]))
	if p.certsBytes == 0 {
		p.certsAt = size
	}
	if end > p.certsAt || p.certsAt+p.certsBytes != size || p.certsBytes > certsMost {
		return bad(fmt.Sprintf("it is cut off, or has something behind its end: %d bytes are there", size))
	}
	return p, nil
}

// digest is that of what is signed: all but the checksum, the place of the table of signatures, and that table.
func (p *program) digest() (sum [32]byte, err error) {
	h := sha256.New()
	h.Write(p.head[:p.opt+optChecksum])
	h.Write(p.head[p.opt+optChecksum+4 : p.opt+optCerts])
	h.Write(p.head[p.opt+optCerts+8:])
	rest := io.NewSectionReader(p.r, int64(len(p.head)), p.certsAt-int64(len(p.head)))
	if n, err := io.Copy(h, rest); err != nil || n != rest.Size() {
		return sum, errors.Join(fmt.Errorf("read it: %d of %d bytes are there", n, rest.Size()), err)
	}
	return [32]byte(h.Sum(nil)), nil
}

// signatures are the entries of the table that are of PKCS #7.
func (p *program) signatures() (list [][]byte, err error) {
	raw := make([]byte, p.certsBytes)
	if _, err := p.r.ReadAt(raw, p.certsAt); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	for len(raw) > 0 {
		if len(raw) < certHead {
			return nil, errors.New("its table of signatures is cut off")
		}
		n := int64(little.Uint32(raw))
		if n < certHead || n > int64(len(raw)) {
			return nil, errors.New("its table of signatures makes no sense")
		}
		if little.Uint16(raw[4:]) == revision && little.Uint16(raw[6:]) == signedData {
			list = append(list, raw[certHead:n])
		}
		raw = raw[min(int64(len(raw)), (n+certAlign-1)/certAlign*certAlign):]
	}
	return list, nil
}

// Signed tells whether a program has a signature, whoever made it.
func Signed(r io.ReaderAt, size int64) (bool, error) {
	p, err := open(r, size)
	return err == nil && p.certsBytes > 0, err
}

// Sign is the program's table of signatures, with one by s. The program must have none. Attach joins them.
func Sign(image []byte, s Signer) ([]byte, error) {
	image = padded(image)
	p, err := open(bytes.NewReader(image), int64(len(image)))
	if err != nil {
		return nil, fmt.Errorf("sign the program: %w", err)
	}
	if p.certsBytes > 0 {
		return nil, errors.New("sign the program: it is signed already; take the one that is not")
	}
	sum, err := p.digest()
	if err != nil {
		return nil, fmt.Errorf("sign the program: %w", err)
	}
	der, err := signProgram(sum, s)
	if err != nil {
		return nil, fmt.Errorf("sign the program: %w", err)
	}
	table := little.AppendUint32(nil, uint32(certHead+len(der)))
	table = append(little.AppendUint16(little.AppendUint16(table, revision), signedData), der...)
	return padded(table), nil
}

// Attach is the program with the table of signatures that Sign made of it.
func Attach(image, table []byte) ([]byte, error) {
	out := bytes.Clone(padded(image))
	p, err := open(bytes.NewReader(out), int64(len(out)))
	if err != nil {
		return nil, fmt.Errorf("attach the signature: %w", err)
	}
	if p.certsBytes > 0 {
		return nil, errors.New("attach the signature: the program has one already")
	}
	little.PutUint32(out[p.opt+optCerts:], uint32(len(out)))
	little.PutUint32(out[p.opt+optCerts+4:], uint32(len(table)))
	return append(out, table...), nil
}

// padded is data up to where the next entry may begin.
func padded(data []byte) []byte {
	if over := len(data) % certAlign; over != 0 {
		return append(slices.Clip(data), make([]byte, certAlign-over)...)
	}
	return data
}
