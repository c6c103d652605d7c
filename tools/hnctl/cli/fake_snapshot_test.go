package cli

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"time"

	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/internal/wire/snapshot"
)

// snapshots are those of nodes 101 and 105, which are lost with each new fake.
func (f *fake) snapshots(mux *http.ServeMux) {
	var list []snapshot.Snapshot
	add := func(s snapshot.Snapshot) snapshot.ID {
		s.ID, s.Taken = snapshot.ID(fmt.Sprintf("20261127-10000%d", len(list))), time.Date(2026, 11, 27, 10, 0, len(list), 0, time.UTC)
		s.Generation, s.Running, s.Pause = 1, true, 21500
		s.Parts = []snapshot.Part{{Bytes: 3 << 20}, {Volume: "data", Bytes: 5 << 20}}
		list = slices.Insert(list, 0, s)
		return s.ID
	}
	handle := func(pattern string, status int, do func(r *http.Request, out *operator.NodeSnapshots) (why string)) {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			f.mu.Lock()
			defer f.mu.Unlock()
			name := "nodes/" + r.PathValue("ctid")
			if name != "nodes/101" && name != "nodes/105" {
				refuse(w, operator.NotFound, name, "there is no such node", "see hnctl node list")
				return
			}
			var out operator.NodeSnapshots
			if why := do(r, &out); why != "" {
				refuse(w, operator.Conflict, name, why, "see hnctl node snapshot list 101")
				return
			}
			out.Snapshots = append([]snapshot.Snapshot{}, list...)
			reply(w, status, out)
		})
	}
	const none = "there is no such snapshot"
	at := func(r *http.Request) int {
		return slices.IndexFunc(list, func(s snapshot.Snapshot) bool { return string(s.ID) == r.PathValue("snapshot") })
	}
	const path = operator.Prefix + "/nodes/{ctid}/snapshots"
	handle("GET "+path, 200, func(*http.Request, *operator.NodeSnapshots) string { return "" })
	handle("POST "+path, 201, func(r *http.Request, out *operator.NodeSnapshots) string {
		var in operator.NewSnapshot
		json.NewDecoder(r.Body).Decode(&in)
		out.Done = add(snapshot.Snapshot{Note: in.Note})
		return ""
	})
	handle("POST "+path+"/{snapshot}/restore", 200, func(r *http.Request, out *operator.NodeSnapshots) string {
		var in operator.RestoreSnapshot
		json.NewDecoder(r.Body).Decode(&in)
		i := at(r)
		switch {
		case in.From != 0:
			return "node " + in.From.String() + " is on another host"
		case i < 0:
			return none
		}
		out.Done = list[i].ID
		out.Kept = add(snapshot.Snapshot{Before: out.Done})
		out.Notes = []string{"volume new is younger than the snapshot, and stays as it is"}
		return ""
	})
	handle("DELETE "+path+"/{snapshot}", 200, func(r *http.Request, out *operator.NodeSnapshots) string {
		i := at(r)
		if i < 0 {
			return none
		}
		list = slices.Delete(list, i, i+1)
		return ""
	})
	schedule := operator.NodeSchedule{CTID: 101, Revision: 7}
	mux.HandleFunc("GET "+path+"/schedule", func(w http.ResponseWriter, _ *http.Request) { reply(w, 200, schedule) })
	mux.HandleFunc("PUT "+path+"/schedule", func(w http.ResponseWriter, r *http.Request) {
		var in operator.SnapshotSchedule
		json.NewDecoder(r.Body).Decode(&in)
		if in.Daily > 48 {
			refuse(w, operator.Invalid, "nodes/101/snapshots/schedule", "want 48 at most", "give other numbers")
			return
		}
		if schedule.Problem = ""; in.NoHook {
			schedule.Problem = "no space left on device"
		}
		schedule.SnapshotSchedule = in
		reply(w, 200, schedule)
	})
	handle("POST "+path+"/prune", 200, func(r *http.Request, out *operator.NodeSnapshots) string {
		var in operator.PruneSnapshots
		json.NewDecoder(r.Body).Decode(&in)
		for _, s := range list[1:] {
			out.Gone = append(out.Gone, s.ID)
		}
		if !in.DryRun {
			list = list[:1]
		}
		return ""
	})
}
