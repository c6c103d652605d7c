package backup

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"

	"hardnode.dev/internal/backup/sealed"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/backup"
	"hardnode.dev/internal/wire/neighbour"
)

// Manifest says what a backup consists of. It lies beside the chunks, readable without the key.
//
// History: 2026-11-27 version 1. 2026-11-28 version 2 is that of a compressed one.
type Manifest struct {
	Version int `json:"version"`
	backup.Head
	Recipient string  `json:"recipient"` // of age, who alone can read the chunks
	Bytes     int64   `json:"bytes"`     // of all chunks
	Chunks    []Chunk `json:"chunks"`
}

// Chunk is one of the objects that a backup lies in: a segment of internal/backup/sealed.
type Chunk struct {
	Sum   string `json:"sum"` // SHA-256, in hex
	Bytes int64  `json:"bytes"`
}

// The bounds of what is believed of a store.
const (
	maxManifest = 64 << 20
	manifest    = "manifest.json"
)

// version is that of the manifest of such a backup: programs that know version 1 alone don't take what is compressed for what it is not.
func version(h backup.Head) int {
	if h.Compressed {
		return 2
	}
	return 1
}

const newest = 2

// ErrNone: there is no such backup.
var ErrNone = errors.New("there is no such backup")

func dir(node wire.CTID, id backup.ID) string { return node.String() + "/" + string(id) + "/" }

// chunk is the name of the n-th one. It has some of its checksum, so that whoever makes the same backup at the same time, or makes it
// again, replaces none that another's manifest names.
func (m *Manifest) chunk(n int) string {
	return fmt.Sprintf("%s%06d-%.16s.age", dir(m.Node, m.ID), n, m.Chunks[n].Sum)
}

// checkChunks says what can't be of the chunks.
func (m *Manifest) checkChunks() error {
	left := m.Bytes
	for n, c := range m.Chunks {
		sum, err := hex.DecodeString(c.Sum)
		if err != nil || len(sum) != sha256.Size || c.Bytes <= 0 || c.Bytes > sealed.MaxSegment {
			return fmt.Errorf("its manifest has a chunk %d of %d bytes with sum %.70q", n, c.Bytes, c.Sum)
		}
		left -= c.Bytes
	}
	if len(m.Chunks) == 0 || left != 0 {
		return fmt.Errorf("its manifest has %d chunks, with %d bytes fewer than it says", len(m.Chunks), left)
	}
	return nil
}

// load reads a manifest and checks it.
func load(ctx context.Context, p Place, node wire.CTID, id backup.ID) (m Manifest, err error) {
	if err := id.Validate(); err != nil {
		return m, err
	}
	fail := func(err error) (Manifest, error) { return m, fmt.Errorf("backup %s of node %s: %w", id, node, err) }
	raw, err := p.Get(ctx, dir(node, id)+manifest, maxManifest)
	if errors.Is(err, fs.ErrNotExist) {
		return fail(ErrNone)
	}
	if err != nil {
		return fail(err)
	}
	if err := neighbour.Decode(raw, &m); err != nil {
		return fail(fmt.Errorf("its manifest can't be read: %v", err))
	}
	switch {
	case m.Version > newest:
		err = fmt.Errorf("its manifest has version %d, and this program knows %d: use a newer hnctl", m.Version, newest)
	case m.Version != version(m.Head):
		err = fmt.Errorf("its manifest has version %d, which one that is compressed has not (or has alone)", m.Version)
	case m.ID != id || m.Node != node:
		err = fmt.Errorf("its manifest is that of backup %s of node %s", m.ID, m.Node)
	default:
		err = cmp.Or(m.Head.Validate(), m.checkChunks())
	}
	if err != nil {
		return fail(err)
	}
	return m, nil
}

// List is the backups of a node, or of all with 0, the oldest of a node first. One that can't be read is left out, and the error says
// which.
func List(ctx context.Context, p Place, node wire.CTID) ([]Manifest, error) {
	list, bad, err := listed(ctx, p, node)
	for _, at := range slices.SortedFunc(maps.Keys(bad), func(a, b name) int {
		return cmp.Or(cmp.Compare(a.node, b.node), cmp.Compare(a.id, b.id))
	}) {
		err = errors.Join(err, bad[at])
	}
	return list, err
}

// name is a backup's.
type name struct {
	node wire.CTID
	id   backup.ID
}

// listed is List, with what is wrong with each that can't be read.
func listed(ctx context.Context, p Place, node wire.CTID) (list []Manifest, bad map[name]error, err error) {
	prefix := ""
	if node != 0 {
		prefix = node.String() + "/"
	}
	names, err := p.List(ctx, prefix)
	if err != nil {
		return nil, nil, err
	}
	bad = map[name]error{}
	for _, at := range names {
		parts := strings.Split(at, "/")
		if len(parts) != 3 || parts[2] != manifest {
			continue
		}
		of, err := wire.ParseCTID(parts[0])
		if err != nil {
			continue
		}
		m, err := load(ctx, p, of, backup.ID(parts[1]))
		if err != nil {
			bad[name{of, backup.ID(parts[1])}] = err
			continue
		}
		list = append(list, m)
	}
	slices.SortStableFunc(list, order)
	return list, bad, nil
}

// order is that of lists: by node, the oldest of each first.
func order(a, b Manifest) int { return cmp.Or(cmp.Compare(a.Node, b.Node), a.Taken.Compare(b.Taken)) }

// Chain is a backup and all that it goes on from, the whole one first.
func Chain(ctx context.Context, p Place, node wire.CTID, id backup.ID) (chain []Manifest, err error) {
	for {
		m, err := load(ctx, p, node, id)
		if err != nil && len(chain) > 0 {
			return nil, fmt.Errorf("backup %s of node %s goes on from another one: %w", chain[0].ID, node, err)
		}
		if err != nil {
			return nil, err
		}
		if len(chain) > 0 {
			if err := follows(chain[0], m); err != nil {
				return nil, err
			}
		}
		if chain = slices.Insert(chain, 0, m); m.Before == "" {
			return chain, nil
		}
		if len(chain) >= backup.MaxChain {
			return nil, fmt.Errorf("backup %s of node %s goes on from more than %d others", chain[len(chain)-1].ID, node, backup.MaxChain-1)
		}
		id = m.Before
	}
}

// follows checks that each part of m that is a difference is one to what before holds.
func follows(m, before Manifest) error {
	for _, part := range m.Parts {
		if part.From == (backup.Part{}.From) {
			continue
		}
		if b := before.Part(part.Volume); b == nil || b.Is != part.From {
			return fmt.Errorf("backup %s of node %s: its part %q goes on from what backup %s does not hold", m.ID, m.Node, part.Volume,
				before.ID)
		}
	}
	return nil
}

// save writes a manifest: from then on the backup is there.
func save(ctx context.Context, p Place, m Manifest) error {
	raw, err := json.Marshal(m)
	if err != nil {
		return err
	}
	return p.Put(ctx, dir(m.Node, m.ID)+manifest, raw)
}
