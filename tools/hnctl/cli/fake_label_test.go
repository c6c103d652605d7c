package cli

import (
	"encoding/json"
	"net/http"
	"strconv"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/operator"
)

// labelling has host-1 have labels. Somebody else changes those of host-1 at the same moment, once; those of host-2 all the time.
func (f *fake) labelling(mux *http.ServeMux) {
	labels, revision, other := map[string]string{"rack": "7"}, wire.Revision(7), 1
	handle := func(w http.ResponseWriter, r *http.Request) {
		f.mu.Lock()
		defer f.mu.Unlock()
		name := r.PathValue("host")
		if name != "host-1" && name != "host-2" {
			refuse(w, operator.NotFound, "hosts/"+name, "there is no such host", "see hnctl host list")
			return
		}
		if r.Method == http.MethodPut {
			if other > 0 || name == "host-2" {
				other--
				revision++
				labels["other"] = "there"
			}
			var in operator.SetHostLabels
			json.NewDecoder(r.Body).Decode(&in)
			if r.Header.Get("If-Match") != strconv.Quote(revision.String()) {
				p := operator.NewProblem(operator.Conflict, "hosts/"+name, "its record has another revision now", "read it again")
				p.Status = http.StatusPreconditionFailed
				operator.WriteProblem(w, p)
				return
			}
			labels = in.Labels
		}
		reply(w, 200, operator.HostLabels{Labels: labels, Revision: revision})
	}
	mux.HandleFunc("GET "+operator.Prefix+"/hosts/{host}/labels", handle)
	mux.HandleFunc("PUT "+operator.Prefix+"/hosts/{host}/labels", handle)
}
