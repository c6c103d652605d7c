package cli

import (
	"encoding/json"
	"net/http"

	"hardnode.dev/internal/wire/acme"
	"hardnode.dev/internal/wire/operator"
)

// acmes keeps the CA's settings.
func (f *fake) acmes(mux *http.ServeMux) {
	var now acme.AcmeSettings
	const path = operator.Prefix + "/cluster/acme"
	mux.HandleFunc("GET "+path, func(w http.ResponseWriter, _ *http.Request) { reply(w, 200, now) })
	mux.HandleFunc("PUT "+path, func(w http.ResponseWriter, r *http.Request) {
		var s acme.SetAcmeSettings
		json.NewDecoder(r.Body).Decode(&s)
		field, err := s.Validate()
		switch {
		case err != nil:
			refuse(w, operator.Invalid, field, err.Error(), "change it")
			return
		case !s.AgreeTerms:
			refuse(w, operator.Invalid, "agreeTerms", "the CA's terms of service are not agreed to",
				"read https://ca.example/terms and say that they are agreed to: --agree-terms")
			return
		}
		now = acme.AcmeSettings{Directory: s.Directory, Mail: s.Mail, CA: s.CA, Addresses: s.Addresses, Terms: "https://ca.example/terms",
			Account: "https://ca.example/account/1", Since: f.now, By: "admin", Orders: 3, Limit: 250, Issued: 2, Waiting: 1}
		if e := s.External; e != nil {
			now.External = e.ID
			now.Domain = &operator.DomainIssue{State: "failed", Tries: 2, Next: f.now,
				Reason: "the DNS knows no name servers of demo.example"}
		}
		f.mu.Lock()
		f.acme = true
		f.mu.Unlock()
		reply(w, 200, now)
	})
	mux.HandleFunc("DELETE "+path, func(w http.ResponseWriter, _ *http.Request) {
		now = acme.AcmeSettings{}
		f.mu.Lock()
		f.acme = false
		f.mu.Unlock()
		w.WriteHeader(204)
	})
}
