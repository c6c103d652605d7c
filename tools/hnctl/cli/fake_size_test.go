package cli

import (
	"encoding/json"
	"net/http"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/internal/wire/usage"
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
			now.Rates, now.Volumes = in.Rates, in.Volumes
		}
		reply(w, 200, now)
	}
	mux.HandleFunc("GET "+operator.Prefix+"/nodes/{ctid}/size", handle)
	mux.HandleFunc("PUT "+operator.Prefix+"/nodes/{ctid}/size", handle)
	mux.HandleFunc("GET "+operator.Prefix+"/nodes/{ctid}/usage", f.usage)
}

// usage is what node 101 used in two minutes, a page each.
func (f *fake) usage(w http.ResponseWriter, r *http.Request) {
	if r.PathValue("ctid") != "101" {
		refuse(w, operator.NotFound, "nodes/"+r.PathValue("ctid"), "there is no such node", "see hnctl node list")
		return
	}
	out := usage.Answer{Book: "0123456789abcdef", Next: 1, More: r.URL.Query().Get("since") != "1", Records: []usage.Record{{CTID: 101,
		Revision: 1, End: 1_700_000_000, Seconds: 60, MemoryMean: 32 << 20, MemoryPeak: 48 << 20, RAMPeak: 40 << 20, CPUMicros: 6_000_000,
		Written: 5 << 20}}}
	switch r.URL.Query().Get("host") {
	case "":
	case "host-1": // that it was on before
		out.Records[0].Written = 7 << 20
	default:
		refuse(w, operator.NotFound, "hosts/nowhere", "there is no such host", "see hnctl host list")
		return
	}
	if !out.More {
		out.Next, out.Records[0].Revision, out.Records[0].End = 2, 2, 1_700_000_060
	}
	reply(w, 200, out)
}
