package cli

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"hardnode.dev/internal/secret"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/internal/wire/user"
)

// fakePeople knows one user, ada@acme.example, whose password is "correct horse", and her sessions, by token.
type fakePeople struct {
	password string
	factor   bool
	pending  bool
	sessions map[string]user.UserSession
	n        int
}

// bearer is who a token is of: the fake's own, or a session. The lock is held.
func (f *fake) bearer(r *http.Request) (session string, ok bool) {
	text := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
	s, there := f.people.sessions[text]
	return s.ID, there || text == fakeToken
}

// users serves sign-in, sessions, second factors and users.
func (f *fake) users(mux *http.ServeMux) {
	p := &f.people
	p.password, p.sessions = "correct horse", map[string]user.UserSession{}
	ada := user.User{ID: "u-1", Mail: "ada@acme.example", Created: f.now, By: "admin",
		Members: []user.Membership{{Account: "acme", Role: user.Owner, Since: f.now}}}
	handle := func(pattern string, h func(w http.ResponseWriter, r *http.Request, body func(any))) {
		method, path, _ := strings.Cut(pattern, " ")
		mux.HandleFunc(method+" "+operator.Prefix+path, func(w http.ResponseWriter, r *http.Request) {
			f.mu.Lock()
			defer f.mu.Unlock()
			h(w, r, func(to any) { json.NewDecoder(r.Body).Decode(to) })
		})
	}
	wrong := func(w http.ResponseWriter) {
		refuse(w, operator.Denied, "user", "the password or the code is wrong", "try again")
	}
	passes := func(password, code secret.Text) bool {
		return password.Reveal() == p.password && (!p.factor || code == "123456")
	}
	handle("POST /sessions", func(w http.ResponseWriter, r *http.Request, body func(any)) {
		var s user.SignIn
		if body(&s); s.Mail != ada.Mail || !passes(s.Password, s.Code) || r.Header.Get("Authorization") != "" {
			w.Header().Set("Content-Type", "application/problem+json")
			w.WriteHeader(401)
			json.NewEncoder(w).Encode(operator.Problem{Status: 401, Code: operator.Denied, Object: "session",
				Reason: "the mail address, the password or the code is wrong", Next: "try again"})
			return
		}
		p.n++
		in := user.UserSession{ID: fmt.Sprintf("s-%d", p.n), Mail: ada.Mail, Account: "acme", Role: user.Owner, Kind: "api", Begun: f.now,
			Ends: f.now}
		p.sessions["hns."+in.ID] = in
		reply(w, 201, user.SignedIn{UserSession: in, Token: secret.Text("hns." + in.ID)})
	})
	handle("GET /sessions", func(w http.ResponseWriter, r *http.Request, _ func(any)) {
		own, _ := f.bearer(r)
		list := operator.List[user.UserSession]{Items: []user.UserSession{}}
		for i := range p.n {
			if s, ok := p.sessions[fmt.Sprintf("hns.s-%d", i+1)]; ok {
				s.Current = s.ID == own
				list.Items = append(list.Items, s)
			}
		}
		reply(w, 200, list)
	})
	handle("DELETE /sessions/{id}", func(w http.ResponseWriter, r *http.Request, _ func(any)) {
		id := r.PathValue("id")
		if id == "current" {
			id, _ = f.bearer(r)
		}
		if _, ok := p.sessions["hns."+id]; !ok {
			refuse(w, operator.NotFound, "sessions/"+id, "you have no such session", "GET /sessions lists them")
			return
		}
		delete(p.sessions, "hns."+id)
		w.WriteHeader(204)
	})
	endAll := func(w http.ResponseWriter, _ *http.Request, _ func(any)) { clear(p.sessions); w.WriteHeader(204) }
	handle("DELETE /sessions", endAll)
	handle("GET /user", func(w http.ResponseWriter, r *http.Request, _ func(any)) {
		if id, _ := f.bearer(r); id == "" {
			refuse(w, operator.Denied, "user", `it is about the user who asks, and token "admin" is no user's`, "sign in: hnctl login")
			return
		}
		ada.Acting = p.sessions[strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")].Acting
		ada.SecondFactor, ada.Recovery, ada.Sessions = p.factor, 10, len(p.sessions)
		reply(w, 200, ada)
	})
	handle("PATCH /user", func(w http.ResponseWriter, _ *http.Request, body func(any)) {
		var c user.ChangeSelf
		body(&c)
		ada.Name = *c.Name
		reply(w, 200, ada)
	})
	handle("PUT /user/password", func(w http.ResponseWriter, _ *http.Request, body func(any)) {
		var c user.ChangePassword
		if body(&c); !passes(c.Old, c.Code) {
			wrong(w)
			return
		}
		p.password = c.New.Reveal()
		clear(p.sessions)
		w.WriteHeader(204)
	})
	handle("POST /user/second-factor", func(w http.ResponseWriter, _ *http.Request, body func(any)) {
		var b user.BeginSecondFactor
		if body(&b); !passes(b.Password, b.Code) {
			wrong(w)
			return
		}
		p.pending = true
		reply(w, 201, user.NewSecondFactor{Secret: "JBSWY3DP", URI: "otpauth://totp/x?secret=JBSWY3DP", Until: f.now})
	})
	codes := user.RecoveryCodes{Codes: []secret.Text{"aaaa-bbbb-cccc-dddd", "eeee-ffff-gggg-hhhh"}}
	handle("PUT /user/second-factor", func(w http.ResponseWriter, _ *http.Request, body func(any)) {
		var c user.ConfirmSecondFactor
		if body(&c); !p.pending || c.Code != "123456" {
			refuse(w, operator.Invalid, "code", "it is not the code of this moment", "see that the clocks are right, and try again")
			return
		}
		p.pending, p.factor = false, true
		reply(w, 200, codes)
	})
	handle("POST /user/second-factor/{what}", func(w http.ResponseWriter, r *http.Request, body func(any)) {
		var e user.EndSecondFactor
		if body(&e); !passes(e.Password, e.Code) {
			wrong(w)
			return
		}
		if r.PathValue("what") == "recovery-codes" {
			reply(w, 201, codes)
			return
		}
		p.factor = false
		w.WriteHeader(204)
	})
	handle("POST /users/{user}/sign-in-as", func(w http.ResponseWriter, r *http.Request, body func(any)) {
		var in user.SignInAs
		if body(&in); r.PathValue("user") != ada.Mail {
			refuse(w, operator.NotFound, "users/"+r.PathValue("user"), "there is no such user", "GET /users lists them")
			return
		}
		p.n++
		as := user.UserSession{ID: fmt.Sprintf("s-%d", p.n), Mail: ada.Mail, Account: "acme", Role: user.Owner, Kind: "acting",
			Begun: f.now, Ends: f.now, Acting: &user.ActingAs{By: "admin", Reason: in.Reason, Until: f.now}}
		p.sessions["hns."+as.ID] = as
		reply(w, 201, user.SignedIn{UserSession: as, Token: secret.Text("hns." + as.ID)})
	})
	handle("GET /users", func(w http.ResponseWriter, _ *http.Request, _ func(any)) {
		reply(w, 200, operator.List[user.User]{Items: []user.User{ada}})
	})
	known := func(w http.ResponseWriter, r *http.Request) bool {
		if who := r.PathValue("user"); who != ada.Mail {
			refuse(w, operator.NotFound, "users/"+who, "there is no such user", "GET /users lists them")
			return false
		}
		return true
	}
	handle("GET /users/{user}", func(w http.ResponseWriter, r *http.Request, _ func(any)) {
		if known(w, r) {
			reply(w, 200, ada)
		}
	})
	handle("POST /users", func(w http.ResponseWriter, _ *http.Request, body func(any)) {
		var n user.NewUser
		body(&n)
		if err := user.ValidatePassword(n.Password, n.Mail); err != nil {
			refuse(w, operator.Invalid, "password", err.Error(), "change it")
			return
		}
		if err := n.Role.Validate(); err != nil {
			refuse(w, operator.Invalid, "role", err.Error(), "change it")
			return
		}
		reply(w, 201, user.User{ID: "u-2", Mail: n.Mail, Name: n.Name, Members: []user.Membership{{Account: n.Account, Role: n.Role}}})
	})
	svcs := []user.Service{{ID: "u-9", Name: "backup", Account: "acme", Role: user.Viewer, Tokens: 1, Created: f.now, By: ada.Mail}}
	service := func(w http.ResponseWriter, r *http.Request) int {
		which := r.PathValue("service")
		at := slices.IndexFunc(svcs, func(s user.Service) bool { return s.Name == which || s.ID == which })
		if at < 0 {
			refuse(w, operator.NotFound, "services/"+which, "there is no such service", "see hnctl user service list")
		}
		return at
	}
	handle("GET /services", func(w http.ResponseWriter, _ *http.Request, _ func(any)) {
		reply(w, 200, operator.List[user.Service]{Items: svcs})
	})
	handle("POST /services", func(w http.ResponseWriter, _ *http.Request, body func(any)) {
		var n user.NewService
		body(&n)
		if err := n.Role.Validate(); err != nil {
			refuse(w, operator.Invalid, "role", err.Error(), "change it")
			return
		}
		if n.Account == "" {
			n.Account = "acme"
		}
		s := user.Service{ID: "u-10", Name: n.Name, Account: n.Account, Role: n.Role, Created: f.now, By: ada.Mail}
		svcs = append(svcs, s)
		reply(w, 201, s)
	})
	handle("DELETE /services/{service}", func(w http.ResponseWriter, r *http.Request, _ func(any)) {
		if at := service(w, r); at >= 0 {
			svcs = slices.Delete(svcs, at, at+1)
			w.WriteHeader(204)
		}
	})
	handle("POST /services/{service}/tokens", func(w http.ResponseWriter, r *http.Request, body func(any)) {
		var n operator.NewToken
		body(&n)
		if at := service(w, r); at >= 0 {
			reply(w, 201, operator.MadeToken{Token: operator.Token{ID: "t-4", Name: n.Name, Account: svcs[at].Account, Scopes: n.Scopes,
				Maker: &operator.TokenMaker{Kind: operator.ByService, Name: svcs[at].Name}}, Text: "hnt.SERVICE"})
		}
	})
	invites := []user.Invite{{ID: "l-0", Mail: "zoe@acme.example", Account: "acme", Role: user.Viewer, By: ada.Mail, Until: f.now},
		{ID: "l-9", Mail: "zoe@acme.example", Account: "shop", Role: user.Viewer, By: "admin", Until: f.now}}
	handle("GET /invites", func(w http.ResponseWriter, _ *http.Request, _ func(any)) {
		reply(w, 200, operator.List[user.Invite]{Items: invites})
	})
	handle("POST /invites", func(w http.ResponseWriter, _ *http.Request, body func(any)) {
		var n user.NewInvite
		body(&n)
		if err := n.Role.Validate(); err != nil {
			refuse(w, operator.Invalid, "role", err.Error(), "change it")
			return
		}
		made := user.MadeInvite{Invite: user.Invite{ID: "l-1", Mail: n.Mail, Account: "acme", Role: n.Role, Until: f.now}, Mailed: true}
		if n.Account == "unmailed" {
			made.Mailed, made.Link = false, "/panel/link/5ec7e7"
		}
		reply(w, 201, made)
	})
	handle("DELETE /invites/{id}", func(w http.ResponseWriter, r *http.Request, _ func(any)) {
		invites = slices.DeleteFunc(invites, func(i user.Invite) bool { return i.ID == r.PathValue("id") })
		w.WriteHeader(204)
	})
	handle("POST /users/{user}/reset", func(w http.ResponseWriter, r *http.Request, _ func(any)) {
		if known(w, r) {
			reply(w, 201, user.PasswordReset{Mail: ada.Mail, Until: f.now, Link: "/panel/link/5ec7e8"})
		}
	})
	done := func(w http.ResponseWriter, r *http.Request, _ func(any)) {
		if known(w, r) {
			w.WriteHeader(204)
		}
	}
	handle("DELETE /users/{user}", done)
	handle("DELETE /users/{user}/second-factor", done)
	handle("DELETE /users/{user}/sessions", func(w http.ResponseWriter, r *http.Request, body func(any)) {
		if known(w, r) {
			endAll(w, r, body)
		}
	})
	handle("DELETE /accounts/{account}/users/{user}", done)
	handle("PUT /accounts/{account}/users/{user}", func(w http.ResponseWriter, r *http.Request, body func(any)) {
		var s user.SetMember
		if body(&s); known(w, r) {
			u := ada
			u.Members = []user.Membership{{Account: "acme", Role: s.Role}}
			reply(w, 200, u)
		}
	})
}
