package cli

import (
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/internal/wire/share"
	"hardnode.dev/internal/wire/user"
)

// shares keeps with whom hello is shared, and that account acme offers an environment, theirs, and another one, sold, to
// be this account's own.
func (f *fake) shares(mux *http.ServeMux) {
	given := []share.Share{}
	offer := share.Share{Env: "theirs", Account: "acme", With: "mine", Role: user.Developer, State: share.Offered, Created: f.now,
		Until: f.now}
	sold := offer
	sold.Env, sold.Role = "sold", user.Owner
	handle := func(pattern string, h func(w http.ResponseWriter, r *http.Request)) {
		method, path, _ := strings.Cut(pattern, " ")
		mux.HandleFunc(method+" "+operator.Prefix+path, func(w http.ResponseWriter, r *http.Request) {
			f.mu.Lock()
			defer f.mu.Unlock()
			h(w, r)
		})
	}
	handle("GET /environments/{env}/shares", func(w http.ResponseWriter, _ *http.Request) {
		reply(w, 200, operator.List[share.Share]{Items: given})
	})
	handle("POST /environments/{env}/shares", func(w http.ResponseWriter, r *http.Request) {
		var n share.NewShare
		if json.NewDecoder(r.Body).Decode(&n); share.ValidateRole(n.Role) != nil {
			refuse(w, operator.Invalid, "role", share.ValidateRole(n.Role).Error(), "change it")
			return
		}
		s := share.Share{Env: wire.EnvName(r.PathValue("env")), Account: "mine", With: n.With, Role: n.Role, State: share.Offered,
			Created: f.now, Until: f.now}
		given = append(given, s)
		reply(w, 201, s)
	})
	handle("POST /environments/{env}/transfer", func(w http.ResponseWriter, r *http.Request) {
		var n share.NewTransfer
		if json.NewDecoder(r.Body).Decode(&n); n.To == "mine" {
			refuse(w, operator.Invalid, "to", "it is the account of the environment", "give another account")
			return
		}
		s := share.Share{Env: wire.EnvName(r.PathValue("env")), Account: "mine", With: n.To, Role: user.Owner, State: share.Offered,
			Created: f.now, Until: f.now}
		given = append(given, s)
		reply(w, 201, s)
	})
	handle("DELETE /environments/{env}/shares/{account}", func(w http.ResponseWriter, r *http.Request) {
		if len(given) == 0 {
			refuse(w, operator.NotFound, "environments/hello/shares/"+r.PathValue("account"),
				"the environment is not shared with that account", "see hnctl env share list hello")
			return
		}
		given = given[:0]
		w.WriteHeader(204)
	})
	handle("GET /shares", func(w http.ResponseWriter, _ *http.Request) {
		reply(w, 200, operator.List[share.Share]{Items: []share.Share{offer, sold}})
	})
	there := func(w http.ResponseWriter, r *http.Request) bool {
		if r.PathValue("share") == "theirs" || r.PathValue("share") == "sold" {
			return true
		}
		refuse(w, operator.NotFound, "shares/"+r.PathValue("share"), "no environment of that name is shared with you or offered to you",
			"see hnctl share list")
		return false
	}
	handle("POST /shares/{share}/accept", func(w http.ResponseWriter, r *http.Request) {
		if r.PathValue("share") == "sold" {
			sold.State, sold.Since, sold.Until = share.Transferred, f.now, time.Time{}
			reply(w, 200, sold)
		} else if there(w, r) {
			offer.State, offer.Since = share.Shared, f.now
			reply(w, 200, offer)
		}
	})
	handle("DELETE /shares/{share}", func(w http.ResponseWriter, r *http.Request) {
		if there(w, r) {
			w.WriteHeader(204)
		}
	})
}
