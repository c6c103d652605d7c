package api

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/account"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/orchestrator/accounts"
	"hardnode.dev/orchestrator/authz"
	"hardnode.dev/orchestrator/store"
)

// accountOperations are those on accounts and their groups.
func (s *Server) accountOperations() {
	serve(s, route{"listAccounts", "GET", "/accounts", "All accounts, by name, with what each has and may have", authz.Read, 200},
		s.listAccounts)
	serve(s, route{"getAccount", "GET", "/accounts/{account}", "One account, with what it has and may have", authz.Read, 200}, s.getAccount)
	serve(s, route{"createAccount", "POST", "/accounts", "Make an account, which owns environments", authz.Admin, 201}, s.createAccount)
	serve(s, route{"changeAccount", "PATCH", "/accounts/{account}",
		"Change an account's limits, group or state; suspended, its environments stop and are kept; closing, they are erased on a day",
		authz.Admin, 200}, s.changeAccount)
	serve(s, route{"createAccountToken", "POST", "/accounts/{account}/tokens",
		"Make a token of another account; its text is shown this once", authz.Admin, 201}, s.createAccountToken)
	serve(s, route{"listAccountGroups", "GET", "/account-groups", "The groups of accounts, and their limits", authz.Read, 200},
		s.listAccountGroups)
	serve(s, route{"setAccountGroup", "PUT", "/account-groups/{group}",
		"Make a group of accounts, or replace what is said of it: its limits are those of each account in it", authz.Admin, 200},
		s.setAccountGroup)
	serveWith(s, route{"deleteAccountGroup", "DELETE", "/account-groups/{group}", "Delete a group that no account is in", authz.Admin, 204},
		s.deleteAccountGroup)
}

func (s *Server) listAccounts(_ context.Context, c caller, in *PageInput) (operator.List[account.Account], error) {
	return page(*in, listed(s.Accounts.List(c.Account), func(a account.Account) string { return string(a.Name) }))
}

type accountInput struct {
	Account wire.Account `path:"account" maxLength:"40"`
}

func (s *Server) getAccount(_ context.Context, c caller, in *accountInput) (account.Account, error) {
	return s.Accounts.Get(c.Account, in.Account)
}

func (s *Server) createAccount(ctx context.Context, c caller, in *body[account.NewAccount]) (out account.Account, err error) {
	return out, s.do(c, "account.create", "accounts/"+string(in.Body.Name), func() (err error) {
		out, err = s.Accounts.Create(ctx, in.Body, c.Name)
		return err
	})
}

type changeAccountInput struct {
	Account wire.Account `path:"account" maxLength:"40"`
	Body    account.ChangeAccount
}

func (s *Server) changeAccount(ctx context.Context, c caller, in *changeAccountInput) (out account.Account, err error) {
	return out, s.doOf(c, in.Account, "account.change", "accounts/"+string(in.Account)+changes(in.Body), func() (err error) {
		out, err = s.Accounts.Change(ctx, in.Account, in.Body)
		return err
	})
}

// changes names what is changed of an account, for the audit.
func changes(c account.ChangeAccount) string {
	var what []string
	if c.State != nil {
		what = append(what, "state "+string(*c.State))
	}
	if c.Group != nil {
		what = append(what, "group "+*c.Group)
	}
	for _, k := range slices.Sorted(maps.Keys(c.Limits)) {
		what = append(what, "limit "+string(k))
	}
	if len(what) == 0 {
		return ""
	}
	return " (" + strings.Join(what, ", ") + ")"
}

type accountTokenInput struct {
	Account wire.Account `path:"account" maxLength:"40"`
	Body    operator.NewToken
}

func (s *Server) createAccountToken(ctx context.Context, c caller, in *accountTokenInput) (made operator.MadeToken, err error) {
	if _, err := s.Accounts.Get(c.Account, in.Account); err != nil {
		return made, err
	}
	return made, s.doOf(c, in.Account, "token.create", "accounts/"+string(in.Account)+"/tokens/"+in.Body.Name, func() (err error) {
		made, err = s.Tokens.CreateIn(ctx, c.Who, in.Account, in.Body, func(tx *store.Tx) *operator.Problem {
			return accounts.There(tx, in.Account)
		})
		return err
	})
}

func (s *Server) listAccountGroups(_ context.Context, _ caller, in *PageInput) (operator.List[account.AccountGroup], error) {
	return page(*in, listed(s.Accounts.Groups(), func(g account.AccountGroup) string { return g.Name }))
}

// said names the rates that are set, for the audit.
func said(r account.APIRates) string {
	if r == (account.APIRates{}) { // it takes away what was set
		return " (API limit: as usual)"
	}
	return fmt.Sprintf(" (API limit: token %s, account %s)", cmp.Or(r.Token.Short(), "as usual"), cmp.Or(r.Account.Short(), "as usual"))
}

type setAccountGroupInput struct {
	Group string `path:"group" maxLength:"40"`
	Body  account.SetAccountGroup
}

func (s *Server) setAccountGroup(ctx context.Context, c caller, in *setAccountGroupInput) (out account.AccountGroup, err error) {
	return out, s.do(c, "account.group", "account-groups/"+in.Group+said(in.Body.Rates), func() (err error) {
		out, err = s.Accounts.SetGroup(ctx, in.Group, in.Body)
		return err
	})
}

type accountGroupInput struct {
	Group string `path:"group" maxLength:"40"`
}

func (s *Server) deleteAccountGroup(ctx context.Context, c caller, in *accountGroupInput) (*none, error) {
	return nil, s.do(c, "account.group.delete", "account-groups/"+in.Group, func() error { return s.Accounts.DeleteGroup(ctx, in.Group) })
}
