package cli

import (
	"encoding/json"
	"net/http"

	"hardnode.dev/internal/wire/operator"
)

// moving has nodes go to other hosts.
func (f *fake) moving(mux *http.ServeMux) {
	mux.HandleFunc("POST "+operator.Prefix+"/nodes/{ctid}/move", func(w http.ResponseWriter, r *http.Request) {
		var in operator.MoveNode
		json.NewDecoder(r.Body).Decode(&in)
		switch {
		case in.Host == "infra-1":
			refuse(w, operator.Exhausted, "nodes/"+r.PathValue("ctid"), "host infra-1 is no user host", "name another host, or none")
		case r.URL.Query().Get("dry_run") == "true":
			reply(w, 200, operator.Accepted{Move: &operator.MovePlan{HostName: "host-2", Why: "best fit"}})
		default:
			f.accept(w, r, "node.move", "", func() {})
		}
	})
}
