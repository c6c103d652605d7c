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
