package cli

import (
	"encoding/json"
	"net/http"

	"hardnode.dev/internal/wire/mail"
	"hardnode.dev/internal/wire/operator"
)

// mails keeps the mail server's settings; a mail to nosuch@example.com is refused by it.
func (f *fake) mails(mux *http.ServeMux) {
	var now mail.MailSettings
	mux.HandleFunc("GET "+operator.Prefix+"/cluster/mail", func(w http.ResponseWriter, _ *http.Request) { reply(w, 200, now) })
	mux.HandleFunc("PUT "+operator.Prefix+"/cluster/mail", func(w http.ResponseWriter, r *http.Request) {
		var s mail.SetMailSettings
		json.NewDecoder(r.Body).Decode(&s)
		s = s.Normal()
		if field, err := s.Validate(); err != nil {
			refuse(w, operator.Invalid, field, err.Error(), "change it")
			return
		}
		now = mail.MailSettings{Host: s.Host, Port: s.Port, Security: s.Security, User: s.User, From: s.From, Panel: s.Panel,
			CA: s.CA, Password: s.Password != nil && *s.Password == "smtp secret"}
		reply(w, 200, now)
	})
	mux.HandleFunc("DELETE "+operator.Prefix+"/cluster/mail", func(w http.ResponseWriter, _ *http.Request) {
		now = mail.MailSettings{}
		w.WriteHeader(204)
	})
	mux.HandleFunc("POST "+operator.Prefix+"/cluster/mail/test", func(w http.ResponseWriter, r *http.Request) {
		var t mail.TestMail
		if json.NewDecoder(r.Body).Decode(&t); t.To == "nosuch@example.com" {
			refuse(w, operator.Unavailable, "cluster/mail", "mail server x:587: 550 no such mailbox", "mend the settings or the server")
			return
		}
		w.WriteHeader(204)
	})
	mux.HandleFunc("GET "+operator.Prefix+"/cluster/mail/outbox", func(w http.ResponseWriter, _ *http.Request) {
		reply(w, 200, operator.List[mail.QueuedMail]{Items: []mail.QueuedMail{{ID: "m-1", To: "ada@example.com", Subject: "Invitation",
			State: "waiting", Tries: 3, Next: f.now, Until: f.now, Reason: "421 come back later"}}})
	})
}
