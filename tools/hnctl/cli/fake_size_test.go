package cli

import (
	"encoding/json"
	"net/http"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/operator"
)

// size is that of node 101, which is lost with each new fake.
func (f *fake) size(mux *http.ServeMux) {
	now := operator.NodeSize{CTID: 101, Cloudlets: wire.Cloudlets{Reserved: 1, Dynamic: 4}, MemoryMiB: 512, CPUMHz: 1600, PIDs: 1024,
		DiskMiB: 1024}
	handle := func(w http.ResponseWriter, r *http.Request) {
		f.mu.Lock()
		defer f.mu.Unlock()
		if r.PathValue("ctid") != "101" {
			refuse(w, operator.NotFound, "nodes/"+r.PathValue("ctid"), "there is no such node", "see hnctl node list")
			return
		}
		if r.Method == http.MethodPut {
			var in operator.ResizeNode
			json.NewDecoder(r.Body).Decode(&in)
			if in.Cloudlets != nil {
				now.Cloudlets = *in.Cloudlets
			}
			now.Rates = in.Rates
		}
		reply(w, 200, now)
	}
	mux.HandleFunc("GET "+operator.Prefix+"/nodes/{ctid}/size", handle)
	mux.HandleFunc("PUT "+operator.Prefix+"/nodes/{ctid}/size", handle)
}
