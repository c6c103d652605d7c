package cli

import (
	"encoding/json"
	"net/http"

	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/internal/wire/user"
)

// passkeys keeps two passkeys of ada's.
func (f *fake) passkeys(mux *http.ServeMux) {
	mine := []user.Passkey{
		{ID: "pk-1f2e3d4c", Name: "laptop", Domain: "paas.example.com", Model: "00112233445566778899aabbccddeeff", Made: f.now,
			Last: f.now},
		{ID: "pk-5b6a7988", Name: "phone", Domain: "paas.example.com", Synced: true, Made: f.now},
	}
	at := operator.Prefix + "/user/passkeys"
	find := func(w http.ResponseWriter, r *http.Request) int {
		for i, p := range mine {
			if p.ID == r.PathValue("passkey") {
				return i
			}
		}
		refuse(w, operator.NotFound, "user/passkeys/"+r.PathValue("passkey"), "you have no such passkey", "GET /user/passkeys lists yours")
		return -1
	}
	mux.HandleFunc("GET "+at, func(w http.ResponseWriter, _ *http.Request) {
		f.mu.Lock()
		defer f.mu.Unlock()
		reply(w, 200, operator.List[user.Passkey]{Items: append([]user.Passkey{}, mine...)})
	})
	mux.HandleFunc("PATCH "+at+"/{passkey}", func(w http.ResponseWriter, r *http.Request) {
		f.mu.Lock()
		defer f.mu.Unlock()
		var n user.RenamePasskey
		json.NewDecoder(r.Body).Decode(&n)
		if i := find(w, r); i >= 0 {
			mine[i].Name = n.Name
			w.WriteHeader(204)
		}
	})
	mux.HandleFunc("POST "+at+"/{passkey}/remove", func(w http.ResponseWriter, r *http.Request) {
		f.mu.Lock()
		defer f.mu.Unlock()
		var e user.RemovePasskey
		if json.NewDecoder(r.Body).Decode(&e); e.Password != "correct horse" {
			refuse(w, operator.Denied, "user", "the password or the code is wrong", "try again")
			return
		}
		if i := find(w, r); i >= 0 {
			mine = append(mine[:i:i], mine[i+1:]...)
			w.WriteHeader(204)
		}
	})
	mux.HandleFunc("DELETE "+operator.Prefix+"/users/{user}/passkeys", func(w http.ResponseWriter, r *http.Request) {
		if r.PathValue("user") != "ada@acme.example" {
			refuse(w, operator.NotFound, "users/"+r.PathValue("user"), "there is no such user", "GET /users lists them")
			return
		}
		w.WriteHeader(204)
	})
}
