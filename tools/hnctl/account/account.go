// Package account is hnctl's commands on accounts and groups of accounts.
//
// Owns: how accounts are made, listed, limited, suspended and closed, and groups of them set.
// In: arguments and flags; an app.App.
// Out: requests to the API; tables.
// Never: knows the other nouns' commands, or decides what the orchestrator decides.
package account

import (
	"cmp"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/account"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/tools/hnctl/app"
)

// Group is the commands on accounts.
func Group(a *app.App) *cobra.Command {
	return app.Group("account", "Accounts: who owns environments, and how much each may have", list(a), show(a), create(a), set(a),
		suspend(a), resume(a), closing(a), export(a),
		app.Group("group", "Groups of accounts, which share limits", groupList(a), groupSet(a), groupDelete(a)))
}

func path(name string) string { return "/accounts/" + url.PathEscape(name) }

// amount is what an account has of a kind, and may have.
func amount(of []account.AccountUse, k account.Kind) string {
	for _, u := range of {
		switch {
		case u.Kind == k && u.Limit != nil:
			return fmt.Sprintf("%d/%d", u.Used, *u.Limit)
		case u.Kind == k:
			return strconv.FormatInt(u.Used, 10)
		}
	}
	return "-"
}

func list(a *app.App) *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "Accounts, with what each has and may have", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			items, err := app.Items[account.Account](cmd.Context(), a, "/accounts")
			if err != nil {
				return err
			}
			return a.Show(items, app.Joined(items, func(x account.Account) string { return string(x.Name) }), func(t *app.Table) {
				t.Head("NAME", "STATE", "GROUP", "ENVIRONMENTS", "NODES", "CLOUDLETS", "DISK MiB", "ADDRESSES", "DOMAINS", "TITLE")
				for _, x := range items {
					t.Row(x.Name, x.State, x.Group, amount(x.Use, account.Environments), amount(x.Use, account.Nodes),
						amount(x.Use, account.Cloudlets), amount(x.Use, account.Disk), amount(x.Use, account.Addresses),
						amount(x.Use, account.Domains), x.Title)
				}
			})
		},
	}
}

func show(a *app.App) *cobra.Command {
	return &cobra.Command{
		Use: "show ACCOUNT", Short: "One account", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			x, err := app.Get[account.Account](cmd.Context(), a, path(args[0]))
			if err != nil {
				return err
			}
			return told(a, x)
		},
	}
}

// told shows one account.
func told(a *app.App, x account.Account) error {
	return a.Show(x, string(x.Name), func(t *app.Table) {
		t.Fields("account", x.Name, "title", x.Title, "contact", x.Contact, "group", x.Group, "state", x.State, "reason", x.Reason,
			"since", app.Stamp(x.Since), "ends", app.Stamp(x.Ends), "created", app.Stamp(x.Created), "by", x.By,
			"API limit", asks(x.Rates))
		t.Gap()
		t.Head("LIMIT", "USED", "AT MOST", "SET BY")
		for _, u := range x.Use {
			most := "no limit"
			if u.Limit != nil {
				most = strconv.FormatInt(*u.Limit, 10)
			}
			t.Row(u.Kind, u.Used, most, u.From)
		}
	})
}

// limits reads KIND=N flags; none takes a limit away.
func limits(texts []string) (map[account.Kind]*int64, error) {
	out := map[account.Kind]*int64{}
	for _, s := range texts {
		kind, text, ok := strings.Cut(s, "=")
		if !ok {
			return nil, fmt.Errorf("--limit %s: write KIND=NUMBER, or KIND=none for no limit of its own", s)
		}
		if text == "none" {
			out[account.Kind(kind)] = nil
			continue
		}
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return nil, fmt.Errorf("--limit %s: %q is no number; write KIND=NUMBER, or KIND=none for no limit of its own", s, text)
		}
		out[account.Kind(kind)] = &n
	}
	return out, nil
}

// given is limits without those that are taken away.
func given(change map[account.Kind]*int64) account.Limits {
	out := account.Limits{}
	for k, v := range change {
		if v != nil {
			out[k] = *v
		}
	}
	if len(out) == 0 {
		return nil
	}
	return out
}

const limitHelp = "a limit, KIND=NUMBER: environments, nodes, cloudlets (dynamic ones), diskMiB, publicAddresses or domains (beside each " +
	"environment's own); may be given again"

func create(a *app.App) *cobra.Command {
	var n account.NewAccount
	var texts []string
	c := &cobra.Command{
		Use: "create ACCOUNT", Short: "Make an account; a token of it is made by: hnctl token create NAME --account ACCOUNT",
		Args:    cobra.ExactArgs(1),
		Example: "  hnctl account create acme --contact ops@acme.example --limit environments=5 --limit cloudlets=64",
		RunE: func(cmd *cobra.Command, args []string) error {
			change, err := limits(texts)
			if err != nil {
				return err
			}
			n.Name, n.Limits = wire.Account(args[0]), given(change)
			var made account.Account
			if err := a.Call(cmd.Context(), http.MethodPost, "/accounts", n, &made); err != nil {
				return err
			}
			a.Say("account %s is made (state %s, group %s)", made.Name, made.State, made.Group)
			return told(a, made)
		},
	}
	c.Flags().StringVar(&n.Title, "title", "", "its name for people")
	c.Flags().StringVar(&n.Contact, "contact", "", "mail address of who answers for it")
	c.Flags().StringVar(&n.Group, "group", "", "the group that its limits come from; left out: default")
	c.Flags().IntVar(&n.Days, "trial-days", 0, "it is a trial that is suspended after so many days; 0: what its group says")
	c.Flags().StringArrayVar(&texts, "limit", nil, limitHelp)
	return c
}

// change asks for a change of an account, and shows what became of it.
func change(cmd *cobra.Command, a *app.App, name string, c account.ChangeAccount, said string) error {
	var now account.Account
	if err := a.Call(cmd.Context(), http.MethodPatch, path(name), c, &now); err != nil {
		return err
	}
	a.Say(said, now.Name)
	return told(a, now)
}

func set(a *app.App) *cobra.Command {
	var title, contact, group string
	var texts []string
	c := &cobra.Command{
		Use: "set ACCOUNT", Short: "Change an account's names, group or limits", Args: cobra.ExactArgs(1),
		Example: "  hnctl account set acme --limit cloudlets=128 --limit nodes=none",
		RunE: func(cmd *cobra.Command, args []string) error {
			var ch account.ChangeAccount
			var err error
			if ch.Limits, err = limits(texts); err != nil {
				return err
			}
			for flag, to := range map[string]struct {
				text *string
				into **string
			}{"title": {&title, &ch.Title}, "contact": {&contact, &ch.Contact}, "group": {&group, &ch.Group}} {
				if cmd.Flags().Changed(flag) {
					*to.into = to.text
				}
			}
			return change(cmd, a, args[0], ch, "account %s is changed")
		},
	}
	c.Flags().StringVar(&title, "title", "", "its name for people")
	c.Flags().StringVar(&contact, "contact", "", "mail address of who answers for it")
	c.Flags().StringVar(&group, "group", "", "the group that its limits come from")
	c.Flags().StringArrayVar(&texts, "limit", nil, limitHelp+"; KIND=none takes it away, so that the group's is in force")
	return c
}

func suspend(a *app.App) *cobra.Command {
	var reason string
	c := &cobra.Command{
		Use: "suspend ACCOUNT", Short: "Stop an account's environments and keep their data; its tokens read only", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			to := account.Suspended
			return change(cmd, a, args[0], account.ChangeAccount{State: &to, Reason: reason},
				"account %s is suspended: its environments stop, their data is kept")
		},
	}
	c.Flags().StringVar(&reason, "reason", "", "why; its users read it")
	return c
}

func resume(a *app.App) *cobra.Command {
	return &cobra.Command{
		Use: "resume ACCOUNT", Short: "Let an account that is suspended, closing or a trial be active", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			to := account.Active
			return change(cmd, a, args[0], account.ChangeAccount{State: &to},
				"account %s is active: what is wanted of its environments is done")
		},
	}
}

func closing(a *app.App) *cobra.Command {
	var reason string
	var days int
	c := &cobra.Command{
		Use: "close ACCOUNT", Short: "Suspend an account, and erase it with all its environments on a day; resume keeps it",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			to := account.Closing
			return change(cmd, a, args[0], account.ChangeAccount{State: &to, Reason: reason, Days: days},
				"account %s is closing: its environments stop, and are erased on the day below; hnctl account resume keeps it, "+
					"hnctl account export is for its owners until then")
		},
	}
	c.Flags().StringVar(&reason, "reason", "", "why; its users read it")
	c.Flags().IntVar(&days, "days", 0, "days until it is erased; 0 is 30")
	return c
}

func groupList(a *app.App) *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "Groups of accounts", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			items, err := app.Items[account.AccountGroup](cmd.Context(), a, "/account-groups")
			if err != nil {
				return err
			}
			return a.Show(items, app.Joined(items, func(x account.AccountGroup) string { return x.Name }), func(t *app.Table) {
				t.Head("NAME", "ACCOUNTS", "TRIAL DAYS", "SIGN-UP", "LIMITS", "API LIMIT", "TITLE")
				for _, x := range items {
					t.Row(x.Name, x.Accounts, x.Days, open(x.SignUp), bounds(x.Limits), asks(x.Rates), x.Title)
				}
			})
		},
	}
}

// open says whether people make accounts of a group by themselves.
func open(is bool) string {
	if is {
		return "open"
	}
	return "closed"
}

// bounds are limits in one line.
func bounds(l account.Limits) string {
	var out []string
	for _, k := range account.Kinds {
		if n, ok := l[k]; ok {
			out = append(out, fmt.Sprintf("%s=%d", k, n))
		}
	}
	return strings.Join(out, ",")
}

// asks says how often an account may ask the API.
func asks(r account.APIRates) string {
	var out []string
	if s := r.Token.Short(); s != "" {
		out = append(out, "token="+s)
	}
	if s := r.Account.Short(); s != "" {
		out = append(out, "account="+s)
	}
	return strings.Join(out, ",")
}

// rates reads WHOSE=PER-SECOND/AT-ONCE flags.
func rates(texts []string) (out account.APIRates, err error) {
	for _, s := range texts {
		whose, text, _ := strings.Cut(s, "=")
		into := map[string]*account.APIRate{"token": &out.Token, "account": &out.Account}[whose]
		if into == nil {
			return out, fmt.Errorf("--api-rate %s: write token=PER-SECOND/AT-ONCE, or account=…", s)
		}
		if *into, err = account.ParseAPIRate(text); err != nil {
			return out, fmt.Errorf("--api-rate %s: %w", s, err)
		}
	}
	return out, nil
}

func groupSet(a *app.App) *cobra.Command {
	var s account.SetAccountGroup
	var texts, perSecond []string
	c := &cobra.Command{
		Use: "set GROUP", Short: "Make a group of accounts, or replace what is said of it; its limits are those of each account in it",
		Args: cobra.ExactArgs(1), Example: "  hnctl account group set trial --trial-days 14 --limit environments=2 --limit cloudlets=16",
		RunE: func(cmd *cobra.Command, args []string) error {
			change, err := limits(texts)
			if err != nil {
				return err
			}
			s.Limits = given(change)
			if s.Rates, err = rates(perSecond); err != nil {
				return err
			}
			var now account.AccountGroup
			if err := a.Call(cmd.Context(), http.MethodPut, "/account-groups/"+url.PathEscape(args[0]), s, &now); err != nil {
				return err
			}
			a.Say("group %s is as below", now.Name)
			return a.Show(now, now.Name, func(t *app.Table) {
				t.Fields("group", now.Name, "title", now.Title, "trial days", now.Days, "trash days",
					cmp.Or(now.Trash, operator.TrashDays), "accounts", now.Accounts,
					"sign-up", open(now.SignUp), "limits", bounds(now.Limits),
					"API limit", asks(now.Rates))
			})
		},
	}
	c.Flags().StringVar(&s.Title, "title", "", "its name for people")
	c.Flags().IntVar(&s.Days, "trial-days", 0, "new accounts of it are trials of so many days; 0: they are not")
	c.Flags().IntVar(&s.Trash, "trash-days", 0, "environments of its accounts stay in the trash for so many days; 0: 7")
	c.Flags().BoolVar(&s.SignUp, "sign-up", false, "people make accounts of it by themselves at /panel/signup/GROUP, once their mail "+
		"address is known to be theirs; needs a mail server")
	c.Flags().StringArrayVar(&texts, "limit", nil, limitHelp)
	c.Flags().StringArrayVar(&perSecond, "api-rate", nil, "how often its accounts may ask the API, WHOSE=PER-SECOND/AT-ONCE: token (each "+
		"token or session) or account (all of one account together), such as token=20/300; may be given again")
	return c
}

func groupDelete(a *app.App) *cobra.Command {
	return &cobra.Command{
		Use: "delete GROUP", Short: "Delete a group that no account is in", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := a.Call(cmd.Context(), http.MethodDelete, "/account-groups/"+url.PathEscape(args[0]), nil, nil); err != nil {
				return err
			}
			a.Say("group %s is deleted", args[0])
			return nil
		},
	}
}
