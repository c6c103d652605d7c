package message

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/neighbour"
)

// Version is of the greeting and of what is said after it.
const Version = 1

const maxHello = 4096

// Hello is what the mounting host says first.
type Hello struct {
	Version int       `json:"version"`
	Of      wire.CTID `json:"of"`             // whose volume it is
	Volume  string    `json:"volume"`         // its name
	For     wire.CTID `json:"for"`            // the container that mounts it
	Name    string    `json:"name"`           // of the mount in that container
	Mount   string    `json:"mount"`          // names this mount among all there ever were: what is sent again is known by it
	Move    string    `json:"move,omitempty"` // it is no mount: container Of goes to the one that says this, by that move
}

// Welcome is the answer to a Hello.
type Welcome struct {
	Version int    `json:"version"`
	Refused string `json:"refused,omitempty"` // why it may not be mounted
}

// WriteHello sends a Hello or a Welcome.
func WriteHello(w io.Writer, v any) error {
	raw, err := json.Marshal(v)
	if err != nil {
		return err
	}
	_, err = w.Write(append(binary.LittleEndian.AppendUint32(nil, uint32(len(raw))), raw...))
	return err
}

// ReadHello reads a Hello or a Welcome.
func ReadHello(r io.Reader, into any) error {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return err
	}
	n := binary.LittleEndian.Uint32(head[:])
	if n > maxHello {
		return fmt.Errorf("greeting of %d bytes: want %d at most", n, maxHello)
	}
	raw := make([]byte, n)
	if _, err := io.ReadFull(r, raw); err != nil {
		return err
	}
	return neighbour.Decode(raw, into)
}
