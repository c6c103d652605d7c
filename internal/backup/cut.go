package backup

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"time"

	"hardnode.dev/internal/backup/sealed"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/backup"
	"hardnode.dev/internal/wire/neighbour"
)

// Cut is a backup that did not come to its end yet, or never will: what of it is there. It lies beside the chunks until the manifest does.
//
// History: 2026-11-27 version 1.
type Cut struct {
	Manifest
	Written time.Time     `json:"written"` // when the last chunk was
	Marks   []backup.Mark `json:"marks"`   // of each chunk
}

const cutFile = "cut.json"

func (c *Cut) save(ctx context.Context, p Place) error {
	raw, err := json.Marshal(c)
	if err != nil {
		return err
	}
	return p.Put(ctx, dir(c.Node, c.ID)+cutFile, raw)
}

// Resume is what a host is told of it; nil: nothing of it is there.
func (c *Cut) Resume() *backup.Resume {
	n := len(c.Chunks)
	if n == 0 {
		return nil
	}
	return &backup.Resume{Bytes: int64(n) * sealed.Segment, Mark: c.Marks[n-1]}
}

// Cuts are those of a node, or of all with 0, the oldest of a node first. What can't be read is left out.
func Cuts(ctx context.Context, p Place, node wire.CTID) (list []Cut, err error) {
	prefix := ""
	if node != 0 {
		prefix = node.String() + "/"
	}
	names, err := p.List(ctx, prefix)
	if err != nil {
		return nil, err
	}
	for _, at := range names {
		parts := strings.Split(at, "/")
		if len(parts) != 3 || parts[2] != cutFile || slices.Contains(names, parts[0]+"/"+parts[1]+"/"+manifest) {
			continue
		}
		raw, err := p.Get(ctx, at, maxManifest)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		var c Cut
		if neighbour.Decode(raw, &c) == nil && c.Version == version(c.Head) && c.Head.Validate() == nil && c.checkChunks() == nil &&
			len(c.Marks) == len(c.Chunks) && at == dir(c.Node, c.ID)+cutFile {
			list = append(list, c)
		}
	}
	slices.SortStableFunc(list, func(a, b Cut) int { return order(a.Manifest, b.Manifest) })
	return list, nil
}

// Look reads back what is there. What is wrong of the chunks, and all behind that, is left out; so is a last one that is not full.
func (c *Cut) Look(ctx context.Context, p Place) error {
	r := chunkReader{ctx: ctx, p: p, m: &c.Manifest}
	c.Bytes = 0
	for r.n < len(c.Chunks) {
		data, err := r.next()
		if ctx.Err() != nil {
			return fmt.Errorf("look at what is there of backup %s: %w", c.ID, err)
		}
		if err != nil {
			break
		}
		if !c.Compressed && len(data) <= sealed.Segment { // encrypted, a full one is longer; of a compressed one the host says so
			r.n--
			break
		}
		c.Bytes += int64(len(data))
	}
	c.Chunks, c.Marks = c.Chunks[:r.n], c.Marks[:r.n]
	return nil
}
