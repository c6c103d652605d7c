package backup

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"time"

	"hardnode.dev/internal/backup/sealed"
	"hardnode.dev/internal/wire/backup"
)

// Save writes what a host sends, frames of internal/backup/sealed, to the place as a backup, behind what is there of it when the head says
// that it goes on from that. It is there when Save returns; after an error Cuts has what of it is there. One that is there already is
// not replaced.
func Save(ctx context.Context, p Place, head backup.Head, recipient string, r io.Reader, there Cut) (Manifest, error) {
	c := Cut{Manifest: Manifest{Version: version(head), Head: head, Recipient: recipient}}
	c.Resumed = 0
	fail := func(err error) (Manifest, error) {
		return c.Manifest, fmt.Errorf("write backup %s of node %s: %w", head.ID, head.Node, err)
	}
	if err := head.Validate(); err != nil {
		return c.Manifest, err
	}
	switch _, err := load(ctx, p, head.Node, head.ID); {
	case err == nil:
		return c.Manifest, fmt.Errorf("backup %s of node %s is there already", head.ID, head.Node)
	case !errors.Is(err, ErrNone):
		return c.Manifest, err
	}
	if head.Resumed != 0 {
		if r := there.Resume(); there.ID != head.ID || there.Node != head.Node || r == nil || r.Bytes != head.Resumed {
			return fail(fmt.Errorf("the host goes on behind %d bytes, which are not there", head.Resumed))
		}
		if head.Compressed != there.Compressed {
			return fail(errors.New("what is there is compressed, or is not, and the host sends the other"))
		}
		c.Bytes, c.Chunks, c.Marks = there.Bytes, there.Chunks, there.Marks
	}
	frames := sealed.NewReader(r)
	for {
		segment, mark, err := frames.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return c.Manifest, err
		}
		sum := sha256.Sum256(segment)
		c.Chunks = append(c.Chunks, Chunk{hex.EncodeToString(sum[:]), int64(len(segment))})
		c.Marks = append(c.Marks, mark)
		c.Bytes += int64(len(segment))
		if err := p.Put(ctx, c.chunk(len(c.Chunks)-1), segment); err != nil {
			return fail(err)
		}
		c.Written = time.Now().UTC()
		if err := c.save(ctx, p); err != nil {
			return fail(err)
		}
	}
	if c.Bytes == 0 {
		return fail(errors.New("nothing came"))
	}
	if head.Before != "" { // it may have been deleted meanwhile
		if _, err := load(ctx, p, head.Node, head.Before); err != nil {
			return c.Manifest, fmt.Errorf("backup %s of node %s goes on from another one: %w", head.ID, head.Node, err)
		}
	}
	return c.Manifest, cmp.Or(save(ctx, p, c.Manifest), p.Delete(ctx, dir(head.Node, head.ID)+cutFile))
}

// chunkReader reads a backup's chunks, each when its checksum is right.
type chunkReader struct {
	ctx context.Context
	p   Place
	m   *Manifest
	n   int
}

// next is the next chunk, or io.EOF.
func (r *chunkReader) next() ([]byte, error) {
	if r.n == len(r.m.Chunks) {
		return nil, io.EOF
	}
	name, want := r.m.chunk(r.n), r.m.Chunks[r.n]
	data, err := r.p.Get(r.ctx, name, want.Bytes)
	if err != nil {
		return nil, fmt.Errorf("chunk %s: %w", name, err)
	}
	if sum := sha256.Sum256(data); int64(len(data)) != want.Bytes || hex.EncodeToString(sum[:]) != want.Sum {
		return nil, fmt.Errorf("chunk %s is not what was written: the backup can't be used", name)
	}
	r.n++
	return data, nil
}
