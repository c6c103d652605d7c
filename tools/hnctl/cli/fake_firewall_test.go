package cli

import (
	"encoding/json"
	"net/http"

	"hardnode.dev/internal/wire/firewall"
	"hardnode.dev/internal/wire/operator"
)

// firewall is that of node 101, which is lost with each new fake.
func (f *fake) firewall(mux *http.ServeMux) {
	now := operator.Firewall{CTID: 101, Env: "hello", Layer: "cp", OfLayer: []firewall.PacketRule{}, OfNode: []firewall.PacketRule{},
		InForce: []firewall.PacketRule{}, Revision: 7}
	handle := func(w http.ResponseWriter, r *http.Request) {
		f.mu.Lock()
		defer f.mu.Unlock()
		if r.PathValue("ctid") != "101" {
			refuse(w, operator.NotFound, "nodes/"+r.PathValue("ctid"), "there is no such node", "see hnctl node list")
			return
		}
		if r.Method == http.MethodPut {
			var in operator.FirewallRules
			json.NewDecoder(r.Body).Decode(&in)
			if r.Header.Get("If-Match") != `"7"` {
				refuse(w, operator.Conflict, "environments/hello", "it has revision 7 now", "read it again and repeat")
				return
			}
			if r.URL.Query().Get("layer") == "true" {
				now.OfLayer = in.Rules
			} else {
				now.OfNode = in.Rules
			}
			now.InForce = firewall.Merge(now.OfLayer, now.OfNode)
		}
		reply(w, 200, now)
	}
	ports := operator.NodePorts{CTID: 101, HostName: "host-1", Ports: []operator.PublishedPort{}, Revision: 7}
	mux.HandleFunc("GET "+operator.Prefix+"/nodes/{ctid}/ports", func(w http.ResponseWriter, _ *http.Request) { reply(w, 200, ports) })
	mux.HandleFunc("PUT "+operator.Prefix+"/nodes/{ctid}/ports", func(w http.ResponseWriter, r *http.Request) {
		var in operator.PublishedPorts
		json.NewDecoder(r.Body).Decode(&in)
		ports.Ports = in.Ports
		reply(w, 200, ports)
	})
	addrs := operator.NodeAddresses{CTID: 101, HostName: "host-1", Addresses: []operator.PublicAddress{}, Revision: 7}
	mux.HandleFunc("GET "+operator.Prefix+"/nodes/{ctid}/addresses", func(w http.ResponseWriter, _ *http.Request) { reply(w, 200, addrs) })
	mux.HandleFunc("PUT "+operator.Prefix+"/nodes/{ctid}/addresses", func(w http.ResponseWriter, r *http.Request) {
		var in operator.PublicAddresses
		json.NewDecoder(r.Body).Decode(&in)
		addrs.Addresses = []operator.PublicAddress{}
		for _, a := range in.Addresses {
			p := operator.PublicAddress{Address: a}
			if a.Is6() {
				p.Problem = "the host has no default route of its family"
			}
			addrs.Addresses = append(addrs.Addresses, p)
		}
		reply(w, 200, addrs)
	})
	mounts := operator.NodeMounts{CTID: 101, HostName: "host-1", Mounts: []operator.NodeMount{}, Revision: 7}
	mux.HandleFunc("GET "+operator.Prefix+"/nodes/{ctid}/mounts", func(w http.ResponseWriter, _ *http.Request) { reply(w, 200, mounts) })
	mux.HandleFunc("PUT "+operator.Prefix+"/nodes/{ctid}/mounts", func(w http.ResponseWriter, r *http.Request) {
		var in operator.MountedVolumes
		json.NewDecoder(r.Body).Decode(&in)
		mounts.Mounts = in.Mounts
		reply(w, 200, mounts)
	})
	mux.HandleFunc("GET "+operator.Prefix+"/nodes/{ctid}/firewall", handle)
	mux.HandleFunc("PUT "+operator.Prefix+"/nodes/{ctid}/firewall", handle)
}
