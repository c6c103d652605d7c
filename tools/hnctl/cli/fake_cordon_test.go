package cli

import (
	"encoding/json"
	"net/http"

	"hardnode.dev/internal/wire/operator"
)

// cordoning has hosts take no new nodes, and take them again.
func (f *fake) cordoning(mux *http.ServeMux, hosts []operator.Host) {
	change := func(state operator.HostState, cordon func(*http.Request) *operator.HostCordon) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			for _, h := range hosts {
				if r.PathValue("host") == h.Name {
					h.State, h.Cordon = state, cordon(r)
					reply(w, 200, h)
					return
				}
			}
			refuse(w, operator.NotFound, "hosts/"+r.PathValue("host"), "there is no such host", "see hnctl host list")
		}
	}
	mux.HandleFunc("PUT "+operator.Prefix+"/hosts/{host}/cordon", change(operator.HostMaintenance,
		func(r *http.Request) *operator.HostCordon {
			var in operator.CordonHost
			json.NewDecoder(r.Body).Decode(&in)
			return &operator.HostCordon{By: "admin", Reason: in.Reason, At: f.now}
		}))
	mux.HandleFunc("DELETE "+operator.Prefix+"/hosts/{host}/cordon", change(operator.HostActive,
		func(*http.Request) *operator.HostCordon { return nil }))
}

// draining empties hosts: the first one has no other place for its node.
func (f *fake) draining(mux *http.ServeMux) {
	mux.HandleFunc("POST "+operator.Prefix+"/hosts/{host}/drain", func(w http.ResponseWriter, r *http.Request) {
		name := r.PathValue("host")
		var in operator.DrainHost
		json.NewDecoder(r.Body).Decode(&in)
		nodes := []operator.DrainNode{{CTID: 101, Env: "hello", Layer: "cp", Way: operator.WayReplace, HostName: "host-2", Why: "best fit"},
			{CTID: 102, Env: "shop", Layer: "sqldb", Way: operator.WayStop, Why: "it has a volume"}}
		if name == "infra-1" && !in.Stop {
			nodes = append(nodes, operator.DrainNode{CTID: 103, Env: "big", Layer: "cp", Way: operator.WayStuck,
				Why: "no other host takes it"})
		}
		p := operator.Stuck(name, nodes)
		switch {
		case r.URL.Query().Get("dry_run") == "true":
			reply(w, 200, operator.Accepted{Drain: nodes})
		case p != nil:
			operator.WriteProblem(w, p)
		default:
			f.accept(w, r, "host.drain", "", func() {})
		}
	})
}
