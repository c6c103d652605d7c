package cli

import (
	"encoding/json"
	"net/http"

	"hardnode.dev/internal/secret"
	"hardnode.dev/internal/wire/oidc"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/internal/wire/user"
)

// providers keeps the identity provider's settings, and gives ada's session for the ticket "a ticket"; with a second factor it asks for its
// code. What the challenge is made of is checked by whoever plays the browser.
func (f *fake) providers(mux *http.ServeMux) {
	var now oidc.OidcSettings
	at := operator.Prefix + "/cluster/oidc"
	mux.HandleFunc("GET "+at, func(w http.ResponseWriter, _ *http.Request) { reply(w, 200, now) })
	mux.HandleFunc("PUT "+at, func(w http.ResponseWriter, r *http.Request) {
		var s oidc.SetOidcSettings
		json.NewDecoder(r.Body).Decode(&s)
		s = s.Normal()
		if field, err := s.Validate(); err != nil {
			refuse(w, operator.Invalid, field, err.Error(), "change it")
			return
		}
		now = oidc.OidcSettings{Issuer: s.Issuer, Client: s.Client, Name: s.Name, Panel: s.Panel, Redirect: s.Panel + oidc.BackPath,
			CA: s.CA, Inside: s.Inside, Counts: s.Counts, Domains: s.Domains, Secret: s.Secret != nil && *s.Secret == "smtp secret",
			By: "admin", Since: f.now, Bound: 2}
		reply(w, 200, now)
	})
	mux.HandleFunc("DELETE "+at, func(w http.ResponseWriter, _ *http.Request) {
		now = oidc.OidcSettings{}
		w.WriteHeader(204)
	})
	mux.HandleFunc("GET "+operator.Prefix+"/sign-in", func(w http.ResponseWriter, _ *http.Request) {
		out := oidc.SignInWays{}
		if now.Issuer != "" {
			out.Oidc = &oidc.OidcWay{Name: now.Name, Hnctl: now.Panel + oidc.HnctlPath}
		}
		reply(w, 200, out)
	})
	mux.HandleFunc("POST "+operator.Prefix+"/sessions/oidc", func(w http.ResponseWriter, r *http.Request) {
		var s oidc.OidcSignIn
		json.NewDecoder(r.Body).Decode(&s)
		f.mu.Lock()
		defer f.mu.Unlock()
		object := ""
		switch p := &f.people; {
		case s.Ticket != "a ticket" || len(s.Verifier) != 43:
			object = "session"
		case p.factor && s.Code == "":
			object = oidc.CodeNeeded
		case p.factor && s.Code != "123456":
			object = "session"
		}
		if object != "" {
			w.Header().Set("Content-Type", "application/problem+json")
			w.WriteHeader(401)
			json.NewEncoder(w).Encode(operator.Problem{Status: 401, Code: operator.Denied, Object: object, Reason: "it is not right",
				Next: "try again"})
			return
		}
		in := user.UserSession{ID: "s-oidc", Mail: "ada@acme.example", Account: "acme", Role: user.Owner, Kind: "api", Begun: f.now,
			Ends: f.now}
		f.people.sessions["hns."+in.ID] = in
		reply(w, 201, user.SignedIn{UserSession: in, Token: secret.Text("hns." + in.ID)})
	})
	mux.HandleFunc("POST "+operator.Prefix+"/user/identity/remove", func(w http.ResponseWriter, r *http.Request) {
		var e user.EndIdentity
		if json.NewDecoder(r.Body).Decode(&e); e.Password != "correct horse" {
			refuse(w, operator.Denied, "user", "the password or the code is wrong", "try again")
			return
		}
		w.WriteHeader(204)
	})
	mux.HandleFunc("DELETE "+operator.Prefix+"/users/{user}/identity", func(w http.ResponseWriter, r *http.Request) {
		if r.PathValue("user") != "ada@acme.example" {
			refuse(w, operator.NotFound, "users/"+r.PathValue("user"), "there is no such user", "GET /users lists them")
			return
		}
		w.WriteHeader(204)
	})
}
