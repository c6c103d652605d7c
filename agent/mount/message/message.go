// Package message is what two hosts say to each other of a volume that one has and the other mounts: the kernel's own file system protocol
// (linux/fuse.h, version 7.41) as a stream, behind one greeting.
//
// Owns: the form of a request, an answer and the greeting; their bounds.
// In: bytes from the kernel or from another host: either may be hostile.
// Out: headers, bodies; errors that say what is wrong.
// Never: does I/O but to read one message whole, or knows what an operation does.
//
// Requests and answers carry their length: a stream of them needs no other frame. A request with operation Ping and number 0 is answered
// with an empty answer of number 0, so that a host knows that the other lives while an operation takes its time.
//
// History: 2026-11-27 version 1.
package message

import (
	"encoding/binary"
	"fmt"
	"io"

	"golang.org/x/sys/unix"
)

// Facts and bounds of messages.
const (
	MaxData    = 128 << 10         // bytes that one operation reads or writes
	Max        = MaxData + 4096    // of a message with what is around them
	RequestAt  = 40                // where a request's body begins (struct fuse_in_header)
	AnswerAt   = 16                // where an answer's body begins (struct fuse_out_header)
	Resent     = uint64(1) << 63   // in Unique: a request that was taken and not answered (FUSE_UNIQUE_RESEND)
	Root       = uint64(1)         // the number of the top directory
	NoID       = uint32(1<<32 - 1) // in Request.UID and GID: nothing is made, so it is nobody's
	Major      = 7                 // of the kernel's protocol
	Minor      = 41                // likewise: the first with mounts whose ids are mapped (Linux 6.12)
	largestErr = 511               // the kernel takes no larger one for an answer
)

// Op is an operation (enum fuse_opcode).
type Op uint32

// The operations.
const (
	Ping        Op = 0 // ours: the kernel has none of this number
	Lookup      Op = 1
	Forget      Op = 2
	GetAttr     Op = 3
	SetAttr     Op = 4
	ReadLink    Op = 5
	SymLink     Op = 6
	MkNod       Op = 8
	MkDir       Op = 9
	Unlink      Op = 10
	RmDir       Op = 11
	Rename      Op = 12
	Link        Op = 13
	Open        Op = 14
	Read        Op = 15
	Write       Op = 16
	StatFS      Op = 17
	Release     Op = 18
	FSync       Op = 20
	SetXattr    Op = 21
	GetXattr    Op = 22
	ListXattr   Op = 23
	RemoveXattr Op = 24
	Flush       Op = 25
	Init        Op = 26
	OpenDir     Op = 27
	ReadDir     Op = 28
	ReleaseDir  Op = 29
	FSyncDir    Op = 30
	Access      Op = 34
	Create      Op = 35
	Interrupt   Op = 36
	Destroy     Op = 38
	Forgets     Op = 42
	FAllocate   Op = 43
	ReadDirPlus Op = 44
	Rename2     Op = 45
	LSeek       Op = 46
)

// Request is a request's header.
type Request struct {
	Op       Op
	Unique   uint64
	Node     uint64
	UID, GID uint32 // whose what is made shall be, in the container's ids; NoID where nothing is made
	Body     []byte
}

// Number is what a request is known by, whether it comes the first time or again.
func (r Request) Number() uint64 { return r.Unique &^ Resent }

// ParseRequest reads a request; Body is a part of b.
func ParseRequest(b []byte) (r Request, err error) {
	if len(b) < RequestAt || len(b) > Max || binary.LittleEndian.Uint32(b) != uint32(len(b)) {
		return r, fmt.Errorf("request of %d bytes: its length is not what it says, or not within %d to %d", len(b), RequestAt, Max)
	}
	if binary.LittleEndian.Uint16(b[36:]) != 0 {
		return r, fmt.Errorf("request of operation %d: has an extension that was not agreed on", binary.LittleEndian.Uint32(b[4:]))
	}
	return Request{Op(binary.LittleEndian.Uint32(b[4:])), binary.LittleEndian.Uint64(b[8:]), binary.LittleEndian.Uint64(b[16:]),
		binary.LittleEndian.Uint32(b[24:]), binary.LittleEndian.Uint32(b[28:]), b[RequestAt:]}, nil
}

// Bytes is the request as it is sent.
func (r Request) Bytes() []byte {
	b := make([]byte, RequestAt, RequestAt+len(r.Body))
	binary.LittleEndian.PutUint32(b, uint32(RequestAt+len(r.Body)))
	binary.LittleEndian.PutUint32(b[4:], uint32(r.Op))
	binary.LittleEndian.PutUint64(b[8:], r.Unique)
	binary.LittleEndian.PutUint64(b[16:], r.Node)
	binary.LittleEndian.PutUint32(b[24:], r.UID)
	binary.LittleEndian.PutUint32(b[28:], r.GID)
	return append(b, r.Body...)
}

// Answer is an answer as it is sent: a body, or an error without one.
func Answer(unique uint64, err unix.Errno, body []byte) []byte {
	b := make([]byte, AnswerAt, AnswerAt+len(body))
	return Finish(append(b, body...), unique, err)
}

// Finish makes b, whose body begins at AnswerAt, an answer.
func Finish(b []byte, unique uint64, err unix.Errno) []byte {
	if err != 0 {
		b = b[:AnswerAt]
	}
	if err > largestErr {
		err = unix.EIO
	}
	binary.LittleEndian.PutUint32(b, uint32(len(b)))
	binary.LittleEndian.PutUint32(b[4:], uint32(-int32(err)))
	binary.LittleEndian.PutUint64(b[8:], unique)
	return b
}

// ParseAnswer reads which request an answer is for, and its error. One that the kernel would not take is an error.
func ParseAnswer(b []byte) (unique uint64, errno unix.Errno, err error) {
	if len(b) < AnswerAt || len(b) > Max || binary.LittleEndian.Uint32(b) != uint32(len(b)) {
		return 0, 0, fmt.Errorf("answer of %d bytes: its length is not what it says, or not within %d to %d", len(b), AnswerAt, Max)
	}
	code := int32(binary.LittleEndian.Uint32(b[4:]))
	if code > 0 || code < -largestErr || code != 0 && len(b) != AnswerAt {
		return 0, 0, fmt.Errorf("answer with the error %d and %d bytes: there is no such answer", code, len(b))
	}
	return binary.LittleEndian.Uint64(b[8:]), unix.Errno(-code), nil
}

// ReadOne reads a whole request (least is RequestAt) or answer (AnswerAt) into buf, which has room for Max bytes.
func ReadOne(r io.Reader, buf []byte, least int) ([]byte, error) {
	if _, err := io.ReadFull(r, buf[:4]); err != nil {
		return nil, err
	}
	n := binary.LittleEndian.Uint32(buf)
	if n < uint32(least) || n > Max {
		return nil, fmt.Errorf("message of %d bytes: want %d to %d", n, least, Max)
	}
	if _, err := io.ReadFull(r, buf[4:n]); err != nil {
		return nil, fmt.Errorf("message of %d bytes: %w", n, err)
	}
	return buf[:n], nil
}
