package cli

import (
	"net/http"

	"hardnode.dev/internal/wire/operator"
)

// leaving has hosts leave their machines.
func (f *fake) leaving(mux *http.ServeMux, hosts []operator.Host) {
	for path, what := range map[string]string{"reboot": "reboot", "shutdown": "poweroff"} {
		mux.HandleFunc("POST "+operator.Prefix+"/hosts/{host}/"+path, func(w http.ResponseWriter, r *http.Request) {
			for _, h := range hosts {
				if string(h.ID) != r.PathValue("host") {
					continue
				}
				if h.State != operator.HostActive {
					refuse(w, operator.Unavailable, "hosts/"+h.Name, "it is "+string(h.State)+": "+h.Reason+"; nothing reaches it",
						"go to its BMC")
					return
				}
				f.mu.Lock()
				f.leaves[h.ID] = what
				f.mu.Unlock()
				reply(w, 202, operator.LeavingHost{ID: h.ID, Name: h.Name, What: what, Boot: h.Boot,
					Means: operator.LeavingMeans(h, hosts, what == "poweroff")})
				return
			}
			refuse(w, operator.NotFound, "hosts/"+r.PathValue("host"), "there is no such host", "see hnctl host list")
		})
	}
}

// left is a host after what it was ordered.
func (f *fake) left(h operator.Host) operator.Host {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch f.leaves[h.ID] {
	case "reboot":
		h.Boot = "another"
	case "poweroff":
		h.State = operator.HostUnreachable
		delete(f.leaves, h.ID)
	}
	return h
}
