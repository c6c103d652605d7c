package stream

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"slices"
	"strings"

	"hardnode.dev/internal/disk/btrfs"
)

// checksum is the kernel's crc32c: it begins with 0, and what comes out is not turned over.
func checksum(t *crc32.Table, parts ...[]byte) uint32 {
	sum := ^uint32(0)
	for _, p := range parts {
		sum = crc32.Update(sum, t, p)
	}
	return ^sum
}

// Reader takes one stream apart. It reads no byte behind the stream's end.
type Reader struct {
	r       io.Reader
	version uint32
	table   *crc32.Table
	buf     []byte
	ended   bool
}

// NewReader reads a stream's header.
func NewReader(r io.Reader) (*Reader, error) {
	var head [len(magic) + 4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, broken("header", err)
	}
	if string(head[:len(magic)]) != magic {
		return nil, fmt.Errorf("%w: it does not begin as one of btrfs", ErrBroken)
	}
	v := binary.LittleEndian.Uint32(head[len(magic):])
	if v < 1 || v > maxVersion {
		return nil, fmt.Errorf("the stream has version %d, this host knows 1 to %d: update its release", v, maxVersion)
	}
	return &Reader{r: r, version: v, table: crc32.MakeTable(crc32.Castagnoli)}, nil
}

// broken tells a stream that was cut from a failure to read it.
func broken(what string, err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("%w: it ends in the middle (%s)", ErrBroken, what)
	}
	return fmt.Errorf("read %s: %w", what, err)
}

// Next is the next command, into c; io.EOF behind the last one, which is End.
func (r *Reader) Next(c *Command) error {
	if r.ended {
		return io.EOF
	}
	var head [headerBytes]byte
	if _, err := io.ReadFull(r.r, head[:]); err != nil {
		return broken("a command's header", err)
	}
	n := binary.LittleEndian.Uint32(head[:])
	kind := Kind(binary.LittleEndian.Uint16(head[4:]))
	sum := binary.LittleEndian.Uint32(head[6:])
	if n > maxCommand {
		return fmt.Errorf("%w: a command of %d bytes", ErrBroken, n)
	}
	if int(n) > cap(r.buf) {
		r.buf = make([]byte, n)
	}
	body := r.buf[:n]
	if _, err := io.ReadFull(r.r, body); err != nil {
		return broken("a command", err)
	}
	clear(head[6:]) // it was zero when the sum was made
	if checksum(r.table, head[:], body) != sum {
		return fmt.Errorf("%w: a command's checksum is wrong", ErrBroken)
	}
	if err := c.parse(kind, body, r.version); err != nil {
		return err
	}
	r.ended = kind == End
	return nil
}

// parse takes a command's body apart.
func (c *Command) parse(kind Kind, body []byte, version uint32) error {
	if int(kind) >= len(forms) || kind == 0 || (forms[kind].must == nil && kind != End) {
		return fmt.Errorf("%w: command %d is none that is taken", ErrBroken, kind)
	}
	*c = Command{Kind: kind}
	f := forms[kind]
	var had [attrs]bool
	for len(body) > 0 {
		if len(body) < 2 {
			return fmt.Errorf("%w: command %d ends in the middle", ErrBroken, kind)
		}
		a := attr(binary.LittleEndian.Uint16(body))
		body = body[2:]
		n := len(body) // of data in version 2: what is left
		if version < 2 || a != aData {
			if len(body) < 2 || int(binary.LittleEndian.Uint16(body)) > len(body)-2 {
				return fmt.Errorf("%w: command %d ends in the middle", ErrBroken, kind)
			}
			n = int(binary.LittleEndian.Uint16(body))
			body = body[2:]
		}
		if !slices.Contains(f.must, a) && !slices.Contains(f.may, a) || had[a] {
			return fmt.Errorf("%w: command %d has part %d, where it does not belong", ErrBroken, kind, a)
		}
		had[a] = true
		if err := c.set(a, body[:n]); err != nil {
			return err
		}
		body = body[n:]
	}
	for _, a := range f.must {
		if !had[a] {
			return fmt.Errorf("%w: command %d lacks part %d", ErrBroken, kind, a)
		}
	}
	return nil
}

// set puts one part into its field.
func (c *Command) set(a attr, b []byte) (err error) {
	switch a {
	case aPath:
		c.Path, err = path(b, c.Kind == Subvol || c.Kind == Snapshot)
	case aPathTo:
		c.To, err = path(b, false)
	case aClonePath:
		c.FromPath, err = path(b, false)
	case aPathLink:
		if c.Kind == Symlink { // it may lead anywhere: nothing follows it
			c.To, err = text(b, maxPath)
			break
		}
		c.To, err = path(b, false)
	case aXattrName:
		c.Name, err = text(b, maxName)
	case aXattrData:
		if len(b) > maxXattr {
			return fmt.Errorf("%w: an attribute of %d bytes", ErrBroken, len(b))
		}
		c.Data = b
	case aData:
		c.Data = b
	case aUUID:
		c.Own.UUID, err = uuid(b)
	case aCloneUUID:
		c.From.UUID, err = uuid(b)
	case aCTime, aOTime: // the kernel's own: they can't be set
		_, err = moment(b)
	case aMTime:
		c.Mtime, err = moment(b)
	case aATime:
		c.Atime, err = moment(b)
	default:
		if len(b) != 8 {
			return fmt.Errorf("%w: part %d has %d bytes", ErrBroken, a, len(b))
		}
		if to := c.number(a); to != nil {
			*to = binary.LittleEndian.Uint64(b)
		}
	}
	return err
}

// number is where a number goes; nil: nowhere.
func (c *Command) number(a attr) *uint64 {
	switch a {
	case aCTransID:
		return &c.Own.Transid
	case aCloneCTransID:
		return &c.From.Transid
	case aSize:
		return &c.Size
	case aMode:
		return &c.Mode
	case aUID:
		return &c.UID
	case aGID:
		return &c.GID
	case aRDev:
		return &c.RDev
	case aFileOffset:
		return &c.Offset
	case aCloneOffset:
		return &c.FromOffset
	case aCloneLen:
		return &c.Length
	}
	return nil // inode numbers and flags of files: they are others here
}

func text(b []byte, most int) (string, error) {
	if len(b) == 0 || len(b) > most || slices.Contains(b, 0) {
		return "", fmt.Errorf("%w: %.40q is no name", ErrBroken, b)
	}
	return string(b), nil
}

// path is one below the subvolume's top directory, which is "". Of the subvolume's own name nothing is used: it is made where the receiver
// says.
func path(b []byte, own bool) (string, error) {
	if len(b) == 0 && !own {
		return "", nil
	}
	s, err := text(b, maxPath)
	if err != nil || own {
		return "", err
	}
	for part := range strings.SplitSeq(s, "/") {
		if part == "" || part == "." || part == ".." || len(part) > maxName {
			return "", fmt.Errorf("%w: path %.80q leads elsewhere", ErrBroken, s)
		}
	}
	return s, nil
}

func uuid(b []byte) (u btrfs.UUID, err error) {
	if len(b) != len(u) {
		return u, fmt.Errorf("%w: a name of %d bytes for a subvolume", ErrBroken, len(b))
	}
	copy(u[:], b)
	if u == (btrfs.UUID{}) {
		return u, fmt.Errorf("%w: a subvolume without a name", ErrBroken)
	}
	return u, nil
}

func moment(b []byte) (Time, error) {
	if len(b) != 12 {
		return Time{}, fmt.Errorf("%w: a time of %d bytes", ErrBroken, len(b))
	}
	t := Time{int64(binary.LittleEndian.Uint64(b)), binary.LittleEndian.Uint32(b[8:])}
	if t.Nsec >= 1e9 {
		return Time{}, fmt.Errorf("%w: a time with %d nanoseconds", ErrBroken, t.Nsec)
	}
	return t, nil
}
