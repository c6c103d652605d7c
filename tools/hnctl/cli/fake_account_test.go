package cli

import (
	"encoding/json"
	"fmt"
	"net/http"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/account"
	"hardnode.dev/internal/wire/operator"
)

// accounts keeps one account, acme, and the groups that are set.
func (f *fake) accounts(mux *http.ServeMux) {
	most := int64(5)
	acme := account.Account{Name: "acme", Group: "default", State: account.Active, Created: f.now, Rates: account.Rates,
		Use: []account.AccountUse{
			{Kind: account.Environments, Used: 2, Limit: &most, From: account.FromAccount}, {Kind: account.Nodes, Used: 7}}}
	mux.HandleFunc("GET "+operator.Prefix+"/accounts", func(w http.ResponseWriter, _ *http.Request) {
		reply(w, 200, operator.List[account.Account]{Items: []account.Account{acme}})
	})
	known := func(w http.ResponseWriter, r *http.Request) bool {
		if r.PathValue("account") == "acme" {
			return true
		}
		refuse(w, operator.NotFound, "accounts/"+r.PathValue("account"), "there is no such account", "see hnctl account list")
		return false
	}
	mux.HandleFunc("GET "+operator.Prefix+"/accounts/{account}", func(w http.ResponseWriter, r *http.Request) {
		if known(w, r) {
			reply(w, 200, acme)
		}
	})
	mux.HandleFunc("GET "+operator.Prefix+"/accounts/{account}/export", func(w http.ResponseWriter, r *http.Request) {
		if r.PathValue("account") == "torn" { // it breaks off
			fmt.Fprint(w, "half an arch")
			http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		}
		if known(w, r) {
			fmt.Fprintf(w, "archive of acme, secrets=%q", r.URL.Query().Get("secrets"))
		}
	})
	mux.HandleFunc("POST "+operator.Prefix+"/accounts", func(w http.ResponseWriter, r *http.Request) {
		var n account.NewAccount
		json.NewDecoder(r.Body).Decode(&n)
		made := account.Account{Name: n.Name, Group: "default", State: account.Trial, Contact: n.Contact}
		for k, v := range n.Limits {
			made.Use = append(made.Use, account.AccountUse{Kind: k, Limit: &v, From: account.FromAccount})
		}
		reply(w, 201, made)
	})
	mux.HandleFunc("PATCH "+operator.Prefix+"/accounts/{account}", func(w http.ResponseWriter, r *http.Request) {
		if !known(w, r) {
			return
		}
		var c account.ChangeAccount
		json.NewDecoder(r.Body).Decode(&c)
		if c.State != nil {
			acme.State, acme.Reason = *c.State, c.Reason
		}
		if c.Title != nil {
			acme.Title = *c.Title
		}
		if v, there := c.Limits[account.Environments]; there {
			acme.Use[0].Limit, acme.Use[0].From = v, ""
		}
		reply(w, 200, acme)
	})
	mux.HandleFunc("POST "+operator.Prefix+"/accounts/{account}/tokens", func(w http.ResponseWriter, r *http.Request) {
		var n operator.NewToken
		json.NewDecoder(r.Body).Decode(&n)
		if known(w, r) {
			t := operator.Token{ID: "t-3", Name: n.Name, Account: wire.Account("acme"), Scopes: n.Scopes}
			if n.Rate != nil && n.Rate.PerSecond > account.Rates.Token.PerSecond {
				refuse(w, operator.Invalid, "rate", "it is more than the limit of each token", "give the token less")
				return
			}
			reply(w, 201, operator.MadeToken{Token: t, Text: "hnt.ACME"})
		}
	})
	groups := []account.AccountGroup{{Name: "default", Accounts: 1}}
	mux.HandleFunc("GET "+operator.Prefix+"/account-groups", func(w http.ResponseWriter, _ *http.Request) {
		reply(w, 200, operator.List[account.AccountGroup]{Items: groups})
	})
	mux.HandleFunc("PUT "+operator.Prefix+"/account-groups/{group}", func(w http.ResponseWriter, r *http.Request) {
		var s account.SetAccountGroup
		json.NewDecoder(r.Body).Decode(&s)
		g := account.AccountGroup{Name: r.PathValue("group"), Days: s.Days, Limits: s.Limits, Rates: account.RatesOf("any", s.Rates)}
		groups = append(groups, g)
		reply(w, 200, g)
	})
	mux.HandleFunc("DELETE "+operator.Prefix+"/account-groups/{group}", func(w http.ResponseWriter, r *http.Request) {
		if r.PathValue("group") != "small" {
			refuse(w, operator.NotFound, "account-groups/"+r.PathValue("group"), "there is no such group", "see hnctl account group list")
			return
		}
		w.WriteHeader(204)
	})
}
