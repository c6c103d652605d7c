package backup

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"

	"hardnode.dev/internal/wire/backup"
)

// Save writes what r has to the place as a backup. It is there when Save returns; after an error nothing of it is, or only chunks that
// nothing names, which the next try replaces. One that is there already is not replaced.
func Save(ctx context.Context, p Place, head backup.Head, recipient string, r io.Reader) (Manifest, error) {
	return write(ctx, p, head, recipient, r, chunkBytes)
}

func write(ctx context.Context, p Place, head backup.Head, recipient string, r io.Reader, size int64) (m Manifest, err error) {
	m = Manifest{Version: version, Head: head, Recipient: recipient, Chunk: size}
	if err := head.Validate(); err != nil {
		return m, err
	}
	switch _, err := load(ctx, p, head.Node, head.ID); {
	case err == nil:
		return m, fmt.Errorf("backup %s of node %s is there already", head.ID, head.Node)
	case !errors.Is(err, ErrNone):
		return m, err
	}
	defer func() {
		if err != nil {
			ctx := context.WithoutCancel(ctx)
			for n := range m.Chunks {
				p.Delete(ctx, chunk(head.Node, head.ID, n)) // the error that counts is there
			}
		}
	}()
	buf := make([]byte, size)
	for {
		n, rerr := io.ReadFull(r, buf)
		if n > 0 {
			sum := sha256.Sum256(buf[:n])
			name := chunk(head.Node, head.ID, len(m.Chunks))
			m.Chunks = append(m.Chunks, hex.EncodeToString(sum[:]))
			m.Bytes += int64(n)
			if err := p.Put(ctx, name, buf[:n]); err != nil {
				return m, fmt.Errorf("write backup %s of node %s: %w", head.ID, head.Node, err)
			}
		}
		switch {
		case errors.Is(rerr, io.EOF), errors.Is(rerr, io.ErrUnexpectedEOF):
			if m.Bytes == 0 {
				return m, fmt.Errorf("backup %s of node %s: nothing came", head.ID, head.Node)
			}
			if head.Before != "" { // it may have been deleted meanwhile
				if _, err := load(ctx, p, head.Node, head.Before); err != nil {
					return m, fmt.Errorf("backup %s of node %s goes on from another one: %w", head.ID, head.Node, err)
				}
			}
			return m, save(ctx, p, m)
		case rerr != nil:
			return m, rerr
		}
	}
}

// Reader reads a backup's chunks, each when its checksum is right.
type Reader struct {
	ctx  context.Context
	p    Place
	m    Manifest
	next int
	left []byte
}

// Read has the backup as Save got it.
func Read(ctx context.Context, p Place, m Manifest) *Reader { return &Reader{ctx: ctx, p: p, m: m} }

func (r *Reader) Read(b []byte) (int, error) {
	for len(r.left) == 0 {
		if r.next == len(r.m.Chunks) {
			return 0, io.EOF
		}
		name := chunk(r.m.Node, r.m.ID, r.next)
		size := r.m.Chunk
		if r.next == len(r.m.Chunks)-1 {
			size = r.m.Bytes - int64(r.next)*r.m.Chunk
		}
		data, err := r.p.Get(r.ctx, name, size)
		if err != nil {
			return 0, fmt.Errorf("chunk %s: %w", name, err)
		}
		if sum := sha256.Sum256(data); int64(len(data)) != size || hex.EncodeToString(sum[:]) != r.m.Chunks[r.next] {
			return 0, fmt.Errorf("chunk %s is not what was written: the backup can't be used", name)
		}
		r.left = data
		r.next++
	}
	n := copy(b, r.left)
	r.left = r.left[n:]
	return n, nil
}
