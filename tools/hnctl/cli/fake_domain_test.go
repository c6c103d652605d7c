package cli

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"time"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/front"
	"hardnode.dev/internal/wire/operator"
)

// domains is the host names of environments: each has its own and the cluster's certificate for it.
func (f *fake) domains(mux *http.ServeMux) {
	more := map[string][]operator.Domain{}
	cluster := &operator.DomainCertificate{Names: []string{"*.demo.test", "demo.test"}, Issuer: "Hardnode web CA of demo.test",
		Ends: time.Date(2027, 2, 1, 0, 0, 0, 0, time.UTC), SHA256: strings.Repeat("ab", 32)}
	handle := func(pattern string, change func(list []operator.Domain, name string, r *http.Request) []operator.Domain) {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			f.mu.Lock()
			defer f.mu.Unlock()
			env, name := r.PathValue("env"), r.PathValue("domain")
			if _, ok := f.envs[wire.EnvName(env)]; !ok {
				refuse(w, operator.NotFound, "environments/"+env, "there is no such environment", "see hnctl env list")
				return
			}
			if name == "theirs.example" {
				refuse(w, operator.Denied, "environments/"+env+"/domains/"+name, "nothing in the DNS says that your account may have it",
					"make a TXT record _hardnode.theirs.example with the text hardnode-abc, and repeat this when it is there")
				return
			}
			more[env] = change(more[env], name, r)
			own := operator.Domain{Name: env + ".demo.test", Own: true, Certificate: cluster}
			reply(w, 200, operator.Domains{Domains: append([]operator.Domain{own}, more[env]...)})
		})
	}
	at := func(list []operator.Domain, name string) int {
		return slices.IndexFunc(list, func(d operator.Domain) bool { return d.Name == name })
	}
	handle("GET "+operator.Prefix+"/environments/{env}/domains", func(l []operator.Domain, _ string, _ *http.Request) []operator.Domain {
		return l
	})
	handle("PUT "+operator.Prefix+"/environments/{env}/domains/{domain}",
		func(l []operator.Domain, name string, r *http.Request) []operator.Domain {
			var in front.Scheme
			json.NewDecoder(r.Body).Decode(&in)
			if i := at(l, name); i >= 0 {
				l[i].Scheme = in
				return l
			}
			d := operator.Domain{Name: name, Scheme: in}
			if f.acme && !in.NoIssue {
				d.Issue = &operator.DomainIssue{State: "failed", Tries: 2, Next: time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC),
					Reason: name + " points to 192.0.2.7, not to this cluster's resolver 198.51.100.4"}
			}
			return append(l, d)
		})
	handle("POST "+operator.Prefix+"/environments/{env}/domains/swap",
		func(l []operator.Domain, _ string, r *http.Request) []operator.Domain {
			var in operator.SwapDomains
			json.NewDecoder(r.Body).Decode(&in)
			theirs := more[string(in.With)]
			more[string(in.With)] = l
			return theirs
		})
	handle("DELETE "+operator.Prefix+"/environments/{env}/domains/{domain}",
		func(l []operator.Domain, name string, _ *http.Request) []operator.Domain {
			return slices.DeleteFunc(l, func(d operator.Domain) bool { return d.Name == name })
		})
	handle("PUT "+operator.Prefix+"/environments/{env}/certificates/{domain}",
		func(l []operator.Domain, name string, r *http.Request) []operator.Domain {
			var in operator.UploadCertificate
			json.NewDecoder(r.Body).Decode(&in)
			l[at(l, name)].Certificate = &operator.DomainCertificate{Uploaded: true, Names: []string{name},
				Issuer: in.Chain + in.Key.Reveal(),
				Ends:   time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC), Warning: "it ends in 5 days: upload another"}
			return l
		})
	handle("DELETE "+operator.Prefix+"/environments/{env}/certificates/{domain}",
		func(l []operator.Domain, name string, _ *http.Request) []operator.Domain {
			l[at(l, name)].Certificate = nil
			return l
		})
	f.fronts(mux)
	mux.HandleFunc("GET "+operator.Prefix+"/web-ca", func(w http.ResponseWriter, _ *http.Request) {
		reply(w, 200, operator.WebCA{Domain: "demo.test", PEM: "-----BEGIN CERTIFICATE-----\n", SHA256: strings.Repeat("cd", 32)})
	})
}

// fronts is how sites are served.
func (f *fake) fronts(mux *http.ServeMux) {
	kept := map[string]front.Settings{}
	path := operator.Prefix + "/environments/{env}/route"
	mux.HandleFunc("GET "+path, func(w http.ResponseWriter, r *http.Request) {
		f.mu.Lock()
		defer f.mu.Unlock()
		w.Header().Set("ETag", kept[r.PathValue("env")].Tag())
		reply(w, 200, kept[r.PathValue("env")])
	})
	mux.HandleFunc("PUT "+path, func(w http.ResponseWriter, r *http.Request) {
		f.mu.Lock()
		defer f.mu.Unlock()
		var in front.Settings
		json.NewDecoder(r.Body).Decode(&in)
		now := kept[r.PathValue("env")]
		if in.PerSource == 21 && !now.AccessLog { // somebody else is a moment earlier
			now.AccessLog = true
			kept[r.PathValue("env")] = now
		}
		if in.PerSource == 22 { // and changes it all the time
			now.Maintenance = !now.Maintenance
			kept[r.PathValue("env")] = now
		}
		if r.Header.Get("If-Match") != now.Tag() {
			p := operator.NewProblem(operator.Conflict, "route", "somebody else has changed it", "read it again and repeat")
			p.Status = http.StatusPreconditionFailed
			operator.WriteProblem(w, p)
			return
		}
		kept[r.PathValue("env")] = in
		reply(w, 200, in)
	})
	mux.HandleFunc("POST "+path+"/bypass", func(w http.ResponseWriter, r *http.Request) {
		f.mu.Lock()
		defer f.mu.Unlock()
		if env := r.PathValue("env"); !kept[env].Maintenance {
			refuse(w, operator.Conflict, "environments/"+env+"/route", "maintenance is off: everybody is let in", "turn it on first")
			return
		}
		reply(w, 201, operator.Bypass{Name: "hello.demo.test", Path: front.BypassPath + "letmein"})
	})
}
