package hosttest

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/snapshot"
)

// snapshots answers what is asked of a container's: it keeps a list of them, and nothing else.
func (h *Host) snapshots(r host.SessionRequest) (answer string, exit host.Exit) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.mu.refuses != "" {
		return "", host.Exit{Code: 125, Error: h.mu.refuses}
	}
	if h.mu.snaps == nil {
		h.mu.snaps = map[string][]snapshot.Snapshot{}
	}
	of, q := r.CTID.String(), r.Snapshots
	list := h.mu.snaps[of]
	theirs := list
	if q.From != 0 {
		theirs = h.mu.snaps[q.From.String()]
	}
	at := slices.IndexFunc(theirs, func(s snapshot.Snapshot) bool { return s.ID == q.ID })
	out := snapshot.Answer{Done: q.ID}
	add := func(s snapshot.Snapshot) snapshot.ID {
		s.ID, s.Taken = snapshot.ID(fmt.Sprintf("20261127-10000%d", len(list))), time.Now().UTC()
		list = slices.Insert(list, 0, s)
		return s.ID
	}
	switch q.Action {
	case snapshot.Take:
		out.Done = add(snapshot.Snapshot{Note: q.Note, Running: true, Pause: 1500, Parts: []snapshot.Part{{Bytes: 3 << 20}}})
	case snapshot.Restore, snapshot.Delete:
		if at < 0 {
			return "", host.Exit{Code: 125, Error: "there is no such snapshot"}
		}
		if q.Action == snapshot.Restore {
			out.Kept = add(snapshot.Snapshot{Before: q.ID})
			break
		}
		list, out.Gone = slices.Delete(list, at, at+1), []snapshot.ID{q.ID}
	case snapshot.Prune:
		for _, s := range list[min(1, len(list)):] {
			out.Gone = append(out.Gone, s.ID)
		}
		if !q.DryRun {
			list = list[:min(1, len(list))]
		}
	}
	h.mu.snaps[of] = list
	out.Snapshots = append([]snapshot.Snapshot{}, list...)
	raw, err := json.Marshal(out)
	if err != nil {
		panic("BUG: an answer does not encode: " + err.Error())
	}
	return string(raw), host.Exit{}
}
