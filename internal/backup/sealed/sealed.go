// Package sealed is what a backup's bytes look like: segments, each encrypted by age on its own, so that a cut one can be gone on from.
//
// Owns: where segments begin and end; what a segment says of those before it; frames, in which a host sends them.
// In: a backup's plain bytes and its recipient, on a host; frames; segments and keys, where it is read.
// Out: frames; segments with marks, by which the host can go on behind them; the plain bytes again.
// Never: keeps anything, or gives out plain bytes of a segment that is not the next one of its backup.
//
// Each segment holds, encrypted, the SHA-256 of all plain bytes before it, then its part of them, as they are or compressed (zstd,
// RFC 8878): then all segments of a backup are. A mark is a keyed hash of the same: it
// tells nothing to those who lack the host's secret. A frame is a kind, a length of 4 bytes (the highest first), and so many bytes: pieces
// of a segment, then its mark, and behind the last segment one that says so.
//
// History: 2026-11-27 version 1. 2026-11-28 compressed ones.
package sealed

import (
	"bufio"
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"io"

	"filippo.io/age"
	"github.com/klauspost/compress/zstd"

	"hardnode.dev/internal/wire/backup"
)

// Segment is how many plain bytes a segment has, but for the last one, which may have fewer.
const Segment = 16 << 20

// MaxSegment is the most that a segment is taken for, encrypted.
const MaxSegment = 64 << 20

// The kinds of frames.
const (
	piece = 'p'
	mark  = 'm'
	end   = 'e'
)

const maxFrame = 64 << 10

// ErrOther: the bytes that the other side has are not how these begin.
var ErrOther = errors.New("what is there already is not how it begins")

// Writer makes frames of a backup's plain bytes.
type Writer struct {
	// To is who can read it, and Secret the key of marks.
	To     age.Recipient
	Secret []byte
	// Skip is how many bytes the other side has, and Had their mark: they are not sent again. When they are others, Write or Close is
	// ErrOther, and nothing was sent.
	Skip int64
	Had  backup.Mark
	// Compress has each segment be compressed before it is encrypted.
	Compress bool
	// Begin is called before the first frame.
	Begin func() error

	size int64 // of segments; 0 is Segment
	out  *bufio.Writer
	sum  hash.Hash      // of all so far
	done int64          // how many bytes that are
	open io.WriteCloser // the segment under way; nil: none
	to   io.Writer      // what its bytes go to: it, or what compresses them into it
	zip  *zstd.Encoder  // nil: there is none yet
}

// window is how far back a segment's compression looks, in bytes: memory of the host, and of who reads it.
const window = 1 << 20

// compressor begins a compressed part of a segment. The fastest level: a backup is no reason for a host to compute.
func (w *Writer) compressor() (err error) {
	if w.zip != nil {
		w.zip.Reset(w.open)
	} else if w.zip, err = zstd.NewWriter(w.open, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1),
		zstd.WithWindowSize(window), zstd.WithLowerEncoderMem(true)); err != nil {
		return err
	}
	w.to = w.zip
	return nil
}

// Out has w write frames to out.
func (w *Writer) Out(out io.Writer) *Writer {
	w.out, w.sum = bufio.NewWriterSize(out, maxFrame), sha256.New()
	if w.size == 0 {
		w.size = Segment
	}
	return w
}

func (w *Writer) Write(b []byte) (n int, err error) {
	if w.Skip%w.size != 0 {
		return 0, ErrOther
	}
	for len(b) > 0 {
		part := b[:min(int64(len(b)), w.size-w.done%w.size)]
		if w.done >= w.Skip {
			if err := w.segment(part); err != nil {
				return n, err
			}
		}
		w.sum.Write(part)
		w.done += int64(len(part))
		n += len(part)
		b = b[len(part):]
		if w.done%w.size != 0 {
			continue
		}
		switch {
		case w.open != nil:
			err = w.finish()
		case w.done == w.Skip && w.mark() != w.Had:
			err = ErrOther
		}
		if err != nil {
			return n, err
		}
	}
	return n, nil
}

// segment writes to the segment under way.
func (w *Writer) segment(b []byte) (err error) {
	if w.open == nil {
		if w.done == w.Skip {
			if err := w.Begin(); err != nil {
				return err
			}
		}
		if w.open, err = age.Encrypt(pieces{w.out}, w.To); err != nil {
			return err
		}
		if _, err := w.open.Write(w.sum.Sum(nil)); err != nil {
			return err
		}
		if w.to = w.open; w.Compress {
			if err := w.compressor(); err != nil {
				return err
			}
		}
	}
	_, err = w.to.Write(b)
	return err
}

func (w *Writer) mark() (m backup.Mark) {
	h := hmac.New(sha256.New, w.Secret)
	h.Write(w.sum.Sum(nil))
	h.Sum(m[:0])
	return m
}

// finish ends the segment under way.
func (w *Writer) finish() error {
	m := w.mark()
	var err error
	if w.Compress {
		err = w.zip.Close()
	}
	err = errors.Join(err, w.open.Close())
	w.open = nil
	if err != nil {
		return err
	}
	return errors.Join(frame(w.out, mark, m[:]), w.out.Flush())
}

// Close ends the last segment, and says that it was that.
func (w *Writer) Close() error {
	if w.done < w.Skip {
		return ErrOther
	}
	if w.done == w.Skip { // nothing came behind what is there
		if err := w.Begin(); err != nil {
			return err
		}
	}
	if w.open != nil {
		if err := w.finish(); err != nil {
			return err
		}
	}
	return errors.Join(frame(w.out, end, nil), w.out.Flush())
}

// pieces makes frames of what is written to it.
type pieces struct{ out *bufio.Writer }

func (p pieces) Write(b []byte) (n int, err error) {
	for len(b) > 0 {
		part := b[:min(len(b), maxFrame)]
		if err := frame(p.out, piece, part); err != nil {
			return n, err
		}
		n += len(part)
		b = b[len(part):]
	}
	return n, nil
}

func frame(out *bufio.Writer, kind byte, data []byte) error {
	var head [5]byte
	head[0] = kind
	binary.BigEndian.PutUint32(head[1:], uint32(len(data)))
	if _, err := out.Write(head[:]); err != nil {
		return err
	}
	_, err := out.Write(data)
	return err
}

// Reader takes frames apart.
type Reader struct {
	in  io.Reader
	buf []byte
}

// NewReader reads the frames of in.
func NewReader(in io.Reader) *Reader { return &Reader{in: in} }

// Next is the next segment, encrypted, until Next is called again, and its mark; io.EOF is behind the last one.
func (r *Reader) Next() (segment []byte, m backup.Mark, err error) {
	r.buf = r.buf[:0]
	for {
		var head [5]byte
		if _, err := io.ReadFull(r.in, head[:]); err != nil {
			return nil, m, cut(err)
		}
		n := int(binary.BigEndian.Uint32(head[1:]))
		most := map[byte]int{piece: min(maxFrame, MaxSegment-len(r.buf)), mark: len(m)}[head[0]]
		if n > most {
			return nil, m, fmt.Errorf("the backup is broken: a frame %q of %d bytes", head[0], n)
		}
		at := len(r.buf)
		r.buf = append(r.buf, make([]byte, n)...)
		if _, err := io.ReadFull(r.in, r.buf[at:]); err != nil {
			return nil, m, cut(err)
		}
		switch {
		case head[0] == piece:
		case head[0] == end && at == 0:
			return nil, m, io.EOF
		case head[0] == mark && n == len(m) && at > 0:
			copy(m[:], r.buf[at:])
			return r.buf[:at], m, nil
		default:
			return nil, m, fmt.Errorf("the backup is broken: a frame %q of %d bytes behind %d", head[0], n, at)
		}
	}
}

// cut says of a stream that ended where it must not that it did.
func cut(err error) error {
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return fmt.Errorf("the backup ends in the middle: %w", err)
}

// Open reads the plain bytes of segments, which are compressed or not, and of which next is the next one, or io.EOF. The first one is read
// at once.
func Open(next func() ([]byte, error), compressed bool, keys ...age.Identity) (io.Reader, error) {
	o := &opener{next: next, keys: keys, compressed: compressed, sum: sha256.New()}
	if err := o.open(); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	return o, nil
}

type opener struct {
	next func() ([]byte, error)
	keys []age.Identity
	sum  hash.Hash // of all so far
	now  io.Reader // the segment under way; nil: the last one is read

	compressed bool
	unzip      *zstd.Decoder // nil: there is none yet
	left       int64         // plain bytes that the segment under way may have yet
}

// open begins the next segment.
func (o *opener) open() error {
	o.now = nil
	raw, err := o.next()
	if err != nil {
		return err
	}
	plain, err := age.Decrypt(bytes.NewReader(raw), o.keys...)
	if err != nil {
		return err
	}
	before := make([]byte, sha256.Size)
	if _, err := io.ReadFull(plain, before); err != nil {
		return cut(err)
	}
	if !bytes.Equal(before, o.sum.Sum(nil)) {
		return errors.New("a segment is not the one that comes behind those before it: the backup can't be used")
	}
	o.now, o.left = plain, MaxSegment
	if o.compressed {
		return o.decompressor(plain)
	}
	return nil
}

// decompressor begins a segment that is compressed. One that would become larger than any is, or wants more memory, is refused.
func (o *opener) decompressor(plain io.Reader) (err error) {
	o.left = Segment
	if o.unzip != nil {
		err = o.unzip.Reset(plain)
	} else {
		o.unzip, err = zstd.NewReader(plain, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(window),
			zstd.WithDecoderLowmem(true))
	}
	o.now = o.unzip
	return err
}

func (o *opener) Read(b []byte) (int, error) {
	for o.now != nil {
		n, err := o.now.Read(b)
		o.sum.Write(b[:n])
		if o.left -= int64(n); o.left < 0 {
			return 0, errors.New("a segment holds more than one may: the backup can't be used")
		}
		if errors.Is(err, io.EOF) {
			if err = o.open(); errors.Is(err, io.EOF) {
				err = nil
			}
		}
		if n > 0 || err != nil {
			return n, err
		}
	}
	return 0, io.EOF
}
