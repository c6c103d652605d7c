package cli

import (
	"context"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"hardnode.dev/internal/wire/account"
	"hardnode.dev/internal/wire/firewall"
	"hardnode.dev/internal/wire/install"
	"hardnode.dev/internal/wire/jls"
	"hardnode.dev/internal/wire/oidc"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/internal/wire/share"
	"hardnode.dev/internal/wire/user"
	"hardnode.dev/tools/hnctl/app"
	"hardnode.dev/tools/hnctl/config"
	jlscmd "hardnode.dev/tools/hnctl/jls"
)

// completeWait is how long the shell may be kept waiting for names: people press Tab again rather than wait.
const completeWait = 300 * time.Millisecond

// waitForNames is completeWait, or what HNCTL_COMPLETION_WAIT says for a line or a machine that is slow: a duration of up to a minute.
func waitForNames() time.Duration {
	if d, err := time.ParseDuration(os.Getenv("HNCTL_COMPLETION_WAIT")); err == nil && d > 0 && d <= time.Minute {
		return d
	}
	return completeWait
}

// completer gives what may stand at one place. It ends when ctx does. Nil is files: the shell completes those by itself.
type completer func(ctx context.Context, a *app.App) []string

// ofArgument is what may stand for a word of a usage line. A word that is not here is free text.
var ofArgument = map[string]completer{
	"ENV": envNames, "TRASHED": trashNames,
	"NODE": nodeNames, "HOST": hostNames, "OPERATION": operationIDs, "CONTEXT": contextNames, "TEMPLATE": templateNames,
	"SHARED": sharedNames, "TOKEN": tokenIDs, "SERVICE": serviceNames,
	"USER": userNames, "SESSION": sessionIDs, "PASSKEY": passkeyIDs, "ROLE": fixed("owner", "developer", "viewer"),
	"ACCOUNT": accountNames, "GROUP": groupNames,
	"CODE": waitingCodes, "PART": layerNames,
	"RELEASE": releaseNames, "ROLLOUT": rolloutIDs,
	"LICENCE": licenceIDs, "INSTALLATION": installationIDs, "FILE": files, "IMAGE": files, "DIR": files, "SRC": files, "DST": files,
	"PLACE": files,
}

// ofFlag is what may stand for a flag's value, whatever command it is of. A flag that is not here takes free text.
var ofFlag = map[string]completer{
	"env": envNames, "from": nodeNames, "host": hostNames, "layer": layerNames, "component": componentNames, "context": contextNames,
	"template": templateNames, "release": releaseNames, "account": accountNames, "group": groupNames, "service": serviceNames,
	"output": fixed("table", "wide", "json", "yaml", "name"), "role": fixed("user", "infra", "hypervisor"),
	"target": fixed("metal", "vm"), "encrypt": fixed(install.EncryptTPM),
	"scope": fixed("read", "write", "exec", "patch", "platform", "metrics", "admin"),
	"unit":  fixed("agent", "init", "kernel", "spawner", "netd", "console"), "who": auditors,
	"method": fixed(operator.MethodReboot, operator.MethodKexec, operator.MethodHot, operator.MethodAuto),
	"canary": hostNames, "drain": fixed(operator.DrainReplace, operator.DrainStop),
	"cohorts": fixed("2,4,8", "5,20,50"), "window": fixed("01:00-05:00", "sat,sun 22:00-04:00"), "boot": fixed("10m", "20m"),
	"canary-soak": fixed("10m", "30m", "1h"), "soak": fixed("5m", "15m", "1h"), "health": fixed("1m", "5m"),
	"kind": fixed("env.create", "env.edit", "env.start", "env.stop", "env.restart", "env.trash", "env.restore", "env.delete", "env.spread",
		"host.drain", "node.move", "node.replace", "import"),
	"api-rate": fixed("token=20/300", "account=60/900", "5/50"),
	"page":     fixed("maintenance=", "down=", "error="),
	"bundle":   files, "repo": files, "seed": files, "key": files, "chain": files, "hsts": fixed("1h", "24h", "4320h"),
	"config": files, "dir": files, "file": files, "licence": files, "licence-root-key": files, "jls-dir": files, "images": files,
	"input": files, "with": files, "password-file": files,
	"whose": userNames, "ca-file": files, "external-key-file": files, "security": fixed("starttls", "tls", "none"),
	"client-secret-file": files, "counts-as": fixed(string(oidc.First), string(oidc.Both)),
	"action": fixed(string(firewall.Allow), string(firewall.Deny)), "direction": fixed(string(firewall.In), string(firewall.Out)),
	"protocol": fixed(firewall.TCP, firewall.UDP, firewall.ICMP),
	"delay":    fixed("5s", "30s", "1m"),
	"timeout":  fixed("30s", "10m", "1h"), "since": fixed("10m", "1h", "1d"), "for": fixed("30m", "1h", "24h"),
	"dhcp-range":  fixed("10.77.0.100-10.77.0.150/24"),
	"dhcp-router": fixed("10.77.0.1"),
	"dhcp-dns":    fixed("10.77.0.1"),
	"join-within": fixed("1h", "24h"), "within": fixed("5m", "10m", "30m"), "disk-transport": fixed(install.Transports...),
	"address": fixed("127.0.0.1", "::1"), "to": accountNames,
	"by": fixed("account", "environment", "node", "host"), "span": fixed("hour", "day", "month", "all"), "until": fixed("1h", "1d"),
	"price": files,
	"step":  fixed("sample", "minute", "hour"), "cloudlets": fixed("1:4", "2:8"),
	"user": fixed("root", "postgres", "mysql", "www-data", "nobody"), // which of them a node has only its /etc/passwd knows
}

// files are completed by the shell.
var files completer

func fixed(words ...string) completer {
	return func(context.Context, *app.App) []string { return words }
}

// completions gives every argument and flag below c its completer.
func completions(a *app.App, c *cobra.Command) {
	for _, sub := range c.Commands() {
		completions(a, sub)
	}
	each := func(f *pflag.Flag) {
		if from, ok := ofFlag[f.Name]; ok && from != nil {
			c.RegisterFlagCompletionFunc(f.Name, func(c *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
				return complete(c.Context(), a, from), cobra.ShellCompDirectiveNoFileComp
			})
		}
	}
	c.LocalNonPersistentFlags().VisitAll(each)
	c.PersistentFlags().VisitAll(each)
	if c.HasSubCommands() || c.ValidArgsFunction != nil {
		return
	}
	words := argWords(c.Use)
	c.ValidArgsFunction = func(c *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		if len(words) == 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		word := words[min(len(args), len(words)-1)]
		name, more := strings.CutSuffix(word, "…")
		from, ok := ofArgument[name]
		switch {
		case !ok, len(args) >= len(words) && !more:
			return nil, cobra.ShellCompDirectiveNoFileComp
		case from == nil:
			return nil, cobra.ShellCompDirectiveDefault
		}
		return slices.DeleteFunc(complete(c.Context(), a, from), func(s string) bool {
			name, _, _ := strings.Cut(s, "\t")
			return slices.Contains(args, name)
		}), cobra.ShellCompDirectiveNoFileComp
	}
}

// argWords are the arguments that a usage line names, with those that may be left out.
func argWords(use string) (out []string) {
	clean := strings.NewReplacer("[", "", "]", "").Replace(strings.ReplaceAll(use, "[flags]", ""))
	return argNames(clean)
}

// complete asks for names, for a short time.
func complete(ctx context.Context, a *app.App, from completer) []string {
	ctx, cancel := context.WithTimeout(ctx, waitForNames())
	defer cancel()
	names := make(chan []string, 1)
	go func() { names <- from(ctx, a) }() // ends soon after ctx: what it calls does
	select {
	case n := <-names:
		return n
	case <-ctx.Done():
		return nil
	}
}

// listed are the names in one of the API's lists.
func listed[T any](path string, names func(T) []string) completer {
	return func(ctx context.Context, a *app.App) (out []string) {
		list, err := app.Items[T](ctx, a, path)
		if err != nil {
			return nil
		}
		seen := map[string]bool{}
		for _, x := range list {
			for _, n := range names(x) {
				if !seen[n] {
					seen[n] = true
					out = append(out, n)
				}
			}
		}
		return out
	}
}

func describe(name, what string) string { return app.Clean(name) + "\t" + app.Clean(what) }

func envNames(ctx context.Context, a *app.App) []string {
	return listed("/environments", func(e operator.Environment) []string {
		return []string{describe(string(e.Spec.Name), string(e.State))}
	})(ctx, a)
}

func trashNames(ctx context.Context, a *app.App) []string {
	return listed("/environments?trash=true", func(e operator.Environment) []string {
		return []string{describe(string(e.Spec.Name), string(e.State))}
	})(ctx, a)
}

func hostNames(ctx context.Context, a *app.App) []string {
	return listed("/hosts", func(h operator.Host) []string { return []string{describe(h.Name, string(h.State))} })(ctx, a)
}

func nodeNames(ctx context.Context, a *app.App) []string {
	return listed("/nodes", func(n operator.Node) []string {
		what := string(n.Env) + "/" + string(n.Layer)
		if n.Component != "" {
			return []string{describe(n.Component, what), describe(n.CTID.String(), n.Component)}
		}
		return []string{describe(n.CTID.String(), what)}
	})(ctx, a)
}

func componentNames(ctx context.Context, a *app.App) []string {
	return listed("/nodes?env=jelastic", func(n operator.Node) []string { return app.NonEmpty(n.Component) })(ctx, a)
}

func layerNames(ctx context.Context, a *app.App) []string {
	return listed("/nodes", func(n operator.Node) []string { return []string{string(n.Layer)} })(ctx, a)
}

func operationIDs(ctx context.Context, a *app.App) []string {
	return listed("/operations?limit=50", func(o operator.Operation) []string {
		return []string{describe(string(o.ID), o.Kind+" "+o.Object+" "+string(o.State))}
	})(ctx, a)
}

func templateNames(ctx context.Context, a *app.App) []string {
	return listed("/templates", func(t operator.Template) []string { return []string{string(t.Name)} })(ctx, a)
}

func releaseNames(ctx context.Context, a *app.App) (out []string) {
	list, err := app.Get[operator.Releases](ctx, a, "/releases")
	if err != nil {
		return nil
	}
	for _, r := range list.Releases {
		out = append(out, r.Version)
	}
	return out
}

func rolloutIDs(ctx context.Context, a *app.App) []string {
	return listed("/rollouts", func(r operator.Rollout) []string {
		return []string{describe(r.ID, r.Release+" "+string(r.State))}
	})(ctx, a)
}

func serviceNames(ctx context.Context, a *app.App) []string {
	return listed("/services", func(s user.Service) []string { return []string{s.Name} })(ctx, a)
}

func sharedNames(ctx context.Context, a *app.App) []string {
	return listed("/shares", func(s share.Share) []string {
		return []string{describe(string(s.Env), "of account "+string(s.Account))}
	})(ctx, a)
}

func tokenIDs(ctx context.Context, a *app.App) []string {
	return listed("/tokens", func(t operator.Token) []string { return []string{describe(t.ID, t.Name)} })(ctx, a)
}

func userNames(ctx context.Context, a *app.App) []string {
	return listed("/users", func(u user.User) []string { return []string{describe(u.Mail, u.Name)} })(ctx, a)
}

func sessionIDs(ctx context.Context, a *app.App) []string {
	return listed("/sessions", func(s user.UserSession) []string {
		return []string{describe(s.ID, s.Kind+" from "+s.From)}
	})(ctx, a)
}

func passkeyIDs(ctx context.Context, a *app.App) []string {
	return listed("/user/passkeys", func(p user.Passkey) []string { return []string{describe(p.ID, p.Name)} })(ctx, a)
}

func accountNames(ctx context.Context, a *app.App) []string {
	return listed("/accounts", func(x account.Account) []string { return []string{describe(string(x.Name), x.Title)} })(ctx, a)
}

func groupNames(ctx context.Context, a *app.App) []string {
	return listed("/account-groups", func(g account.AccountGroup) []string { return []string{describe(g.Name, g.Title)} })(ctx, a)
}

func waitingCodes(ctx context.Context, a *app.App) []string {
	return listed("/waiting-hosts", func(w operator.WaitingHost) []string {
		return []string{describe(w.Code, strings.Join(w.MACs, " "))}
	})(ctx, a)
}

func auditors(ctx context.Context, a *app.App) []string {
	return listed("/audit?limit=200", func(x operator.Audit) []string { return []string{x.Who} })(ctx, a)
}

func contextNames(_ context.Context, a *app.App) []string {
	dir, err := config.Dir(a.ConfigFlag)
	if err != nil {
		return nil
	}
	f, err := config.LoadFile(dir)
	if err != nil {
		return nil
	}
	return f.Names()
}

func licenceIDs(ctx context.Context, a *app.App) (out []string) {
	var list []jls.License
	if jlscmd.Call(ctx, a, "GET", jls.PathLicenses, nil, &list) != nil {
		return nil
	}
	for _, l := range list {
		out = append(out, describe(l.ID, l.Customer))
	}
	return out
}

func installationIDs(ctx context.Context, a *app.App) (out []string) {
	var list []jls.Installation
	if jlscmd.Call(ctx, a, "GET", jls.PathInstallations, nil, &list) != nil {
		return nil
	}
	for _, i := range list {
		out = append(out, describe(string(i.ID), i.Name))
	}
	return out
}
