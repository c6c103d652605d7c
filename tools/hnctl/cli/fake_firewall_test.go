package cli

import (
	"encoding/json"
	"net/http"
	"slices"
	"strconv"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/firewall"
	"hardnode.dev/internal/wire/operator"
)

// firewall is that of node 101, which is lost with each new fake.
func (f *fake) firewall(mux *http.ServeMux) {
	now := operator.Firewall{CTID: 101, Env: "hello", Layer: "cp", OfLayer: []firewall.PacketRule{}, OfNode: []firewall.PacketRule{},
		InForce: []firewall.PacketRule{}, Revision: 7}
	// meanwhile: somebody else changes the environment before the first change of each kind, and where always is set before each.
	moved := map[string]bool{}
	meanwhile := func(w http.ResponseWriter, r *http.Request, revision *wire.Revision, always bool) bool {
		if !moved[r.URL.Path] || always {
			*revision++
		}
		moved[r.URL.Path] = true
		if r.Header.Get("If-Match") == strconv.Quote(revision.String()) {
			return false
		}
		p := operator.NewProblem(operator.Conflict, "environments/hello", "it has another revision now", "read it again and repeat")
		p.Status = http.StatusPreconditionFailed
		operator.WriteProblem(w, p)
		return true
	}
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
			if meanwhile(w, r, &now.Revision, false) {
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
		always := slices.ContainsFunc(in.Ports, func(p operator.PublishedPort) bool { return p.Host == 20999 })
		if meanwhile(w, r, &ports.Revision, always) {
			return
		}
		ports.Ports = in.Ports
		reply(w, 200, ports)
	})
	addrs := operator.NodeAddresses{CTID: 101, HostName: "host-1", Addresses: []operator.PublicAddress{}, Revision: 7}
	mux.HandleFunc("GET "+operator.Prefix+"/nodes/{ctid}/addresses", func(w http.ResponseWriter, _ *http.Request) { reply(w, 200, addrs) })
	mux.HandleFunc("PUT "+operator.Prefix+"/nodes/{ctid}/addresses", func(w http.ResponseWriter, r *http.Request) {
		var in operator.PublicAddresses
		json.NewDecoder(r.Body).Decode(&in)
		if meanwhile(w, r, &addrs.Revision, false) {
			return
		}
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
		if meanwhile(w, r, &mounts.Revision, false) {
			return
		}
		mounts.Mounts = in.Mounts
		reply(w, 200, mounts)
	})
	mux.HandleFunc("GET "+operator.Prefix+"/nodes/{ctid}/firewall", handle)
	mux.HandleFunc("PUT "+operator.Prefix+"/nodes/{ctid}/firewall", handle)
}
