// Package record is what the spawner knows of containers, with the note that each was started with.
//
// Owns: the note's form, which a later agent reads; the question which containers run.
// In: the container that is started; the spawner's records.
// Out: records by CTID; errors of agent/container/fault.
// Never: puts the data of a file into a note, or drops a record because its note is damaged.
package record

import (
	"encoding/json"
	"fmt"

	"hardnode.dev/agent/container/spec"
	"hardnode.dev/agent/spawner/call"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
)

// HostID is the host's id for one that the container has.
func (r Record) HostID(id uint32) uint32 {
	on, _ := call.IDs{Base: r.UIDBase, Blocks: r.Container.Image.IDBlocks}.Host(id)
	return on
}

// Inside is the container's number of a user of the host; -1 if it has none.
func (r Record) Inside(on uint32) int64 {
	i := call.IDs{Base: r.UIDBase, Blocks: r.Container.Image.IDBlocks}
	at := (on - r.UIDBase) / (1 << 16)
	if on < r.UIDBase || int(at) > len(i.Blocks) {
		return -1
	}
	id := (on - r.UIDBase) % (1 << 16)
	if at > 0 {
		id += uint32(i.Blocks[at-1]) << 16
	}
	if back, ok := i.Host(id); !ok || back != on {
		return -1
	}
	return int64(id)
}

// Note is what the spawner keeps for the agent with each container: a new agent knows from it all that was started.
type Note struct {
	Version   int            `json:"version"` // 1
	Container host.Container `json:"container"`
	Files     string         `json:"files"` // FilesHash
	UIDBase   uint32         `json:"uidBase"`
}

func Make(c host.Container, uidBase uint32) (json.RawMessage, error) {
	hash := spec.Hash(c.Files)
	files := make([]host.File, len(c.Files))
	for i, f := range c.Files {
		files[i] = host.File{Path: f.Path, Mode: f.Mode}
	}
	c.Files = files
	b, err := json.Marshal(Note{Version: 1, Container: c, Files: hash, UIDBase: uidBase})
	if err != nil {
		return nil, fmt.Errorf("encode container %s: %v", c.CTID, err)
	}
	return b, nil
}

// Record is one spawner record with its note read. What the note says is missing when it is damaged.
type Record struct {
	call.Record
	Note
	Damage error
}

// Read reads the notes. A record under a name that is no CTID is nobody's container: only this Runtime makes them.
func Read(list []call.Record) map[wire.CTID]Record {
	all := make(map[wire.CTID]Record, len(list))
	for _, c := range list {
		id, err := wire.ParseCTID(c.ID)
		if err != nil {
			continue
		}
		rec := Record{Record: c}
		if err := json.Unmarshal(c.Note, &rec.Note); err != nil || rec.Container.CTID != id {
			if err == nil {
				err = fmt.Errorf("it is container %s's", rec.Container.CTID)
			}
			rec.Note, rec.Damage = Note{}, fmt.Errorf("the note of its start is damaged, it is whole again after the next: %v", err)
		}
		all[id] = rec
	}
	return all
}
