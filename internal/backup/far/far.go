// Package far is a place of backups at the other end of a stream: what it is asked, and how that is answered.
//
// Owns: the questions and answers on a stream, one after the other; that a broken stream is made anew and asked again.
// In: streams; a Shelf at the answering end; objects, which the asking end takes for an attacker's as those of any place.
// Out: a backup.Place at the asking end; errors in the other end's words.
// Never: has a key, looks into what is encrypted, or asks a shelf for what is named like nothing of a backup.
//
// A question is a line of JSON, then the bytes that it says; an answer likewise. The asking end waits for the answer before it asks again.
//
// History: 2026-11-28 version 1.
package far

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/neighbour"
)

// What is asked.
const (
	may    = "may"    // whether backups of a node may be put here
	room   = "room"   // how much there is
	put    = "put"    // an object
	get    = "get"    // an object
	list   = "list"   // the names that begin so
	remove = "delete" // an object
)

// MaxObject is the most bytes that an object has: those of a chunk, or of a manifest.
const MaxObject = 64 << 20

const maxLine = 4 << 10

type ask struct {
	What  string    `json:"what"`
	Name  string    `json:"name,omitempty"`
	Node  wire.CTID `json:"node,omitempty"`
	Bytes int64     `json:"bytes,omitempty"` // that follow
}

type answer struct {
	Error string `json:"error,omitempty"`
	None  bool   `json:"none,omitempty"` // there is no such object
	Bytes int64  `json:"bytes,omitempty"`
	Room  *Room  `json:"room,omitempty"`
}

// Room is what a shelf has, in bytes.
type Room struct {
	Limit int64 `json:"limit"`
	Used  int64 `json:"used"`
}

func write(w io.Writer, v any) error {
	line, err := json.Marshal(v)
	if err != nil {
		return err
	}
	_, err = w.Write(append(line, '\n'))
	return err
}

// read reads a line. io.EOF: the other side has nothing more to say.
func read(r *bufio.Reader, v any) error {
	line, err := r.ReadSlice('\n')
	switch {
	case errors.Is(err, bufio.ErrBufferFull):
		return fmt.Errorf("a line of more than %d bytes", maxLine)
	case errors.Is(err, io.EOF) && len(line) > 0:
		return io.ErrUnexpectedEOF
	case err != nil:
		return err
	}
	return neighbour.Decode(line, v)
}
