package backup

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"hardnode.dev/agent/snapshot"
	"hardnode.dev/internal/disk/btrfs"
	wiresnapshot "hardnode.dev/internal/wire/snapshot"
)

// leave says once of a part what was left out.
func (r *receiver) leave(note string) {
	if len(r.notes) == 0 || r.notes[len(r.notes)-1] != note {
		r.notes = append(r.notes, note)
	}
}

// finish makes a snapshot of the parts that the last backup of the chain has.
func (r *receiver) finish(s wiresnapshot.Snapshot) (wiresnapshot.Snapshot, error) {
	var parts []snapshot.Part
	for volume, p := range r.parts {
		if r.head.Part(volume) == nil {
			if err := r.coming.Remove(p.name); err != nil {
				return s, err
			}
			continue
		}
		if err := btrfs.SetReceived(p.dir, p.is); err != nil {
			return s, err
		}
		parts = append(parts, snapshot.Part{Name: p.name, Volume: volume, Dir: p.dir})
	}
	if len(parts) == 0 {
		return s, errors.New("nothing of the backup is for this node: " + fmt.Sprint(r.notes))
	}
	return r.coming.Done(s, parts)
}

// explained says what to do about what did not fit.
func explained(err error, limit int64) error {
	switch {
	case errors.Is(err, unix.EDQUOT):
		return fmt.Errorf("it is larger than the %d MiB that the node has for it: make that larger: %w", limit>>20, err)
	case errors.Is(err, unix.ENOSPC):
		return fmt.Errorf("the host's DATA is full: delete snapshots or move nodes away, or restore on another host: %w", err)
	}
	return err
}
