// Package passwd is JEM's module of users and their passwords: of the container, of PostgreSQL and of MariaDB.
//
// Owns: who may be changed, how a password reaches the program that sets it.
// In: names; passwords, sent along.
// Out: users that can log in, or can't any more.
// Never: has a password in arguments, in a file or in an answer, or changes root and users below 1000 by other than their password.
package passwd

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"hardnode.dev/agent/jem/contract"
	"hardnode.dev/agent/jem/database"
	"hardnode.dev/agent/jem/program"
	"hardnode.dev/agent/jem/users"
	"hardnode.dev/internal/wire/form"
	"hardnode.dev/internal/wire/jem"
)

// Module is the module's table.
var Module = contract.Module{Name: "passwd", Help: "users and passwords", Actions: []contract.Action{
	{Name: "list", Help: "users of the container", Reads: true, Begin: contract.Only(list)},
	{Name: "set", Args: "USER", Help: "set a user's password, sent along", Lacks: needs("chpasswd"), Begin: set},
	{Name: "add", Args: "USER [--shell PATH]", Help: "add a user, without a password", Lacks: needs("useradd", "adduser"), Begin: add},
	{Name: "lock", Args: "USER", Help: "let nobody log in with a user's password", Lacks: needs("passwd"), Begin: lock("-l", "locked")},
	{Name: "unlock", Args: "USER", Help: "let the password count again", Lacks: needs("passwd"), Begin: lock("-u", "unlocked")},
	{Name: "postgresql", Args: "USER [--superuser]",
		Help:  "set the password of a user of PostgreSQL, sent along; the user is made if need be",
		Lacks: database.PostgreSQL.Lacks, Begin: postgresql},
	{Name: "mariadb", Args: "USER [--from HOST]", Help: "set the password of a user of MariaDB, sent along; the user is made if need be",
		Lacks: database.MariaDB.Lacks, Begin: mariadb},
}}

func needs(names ...string) func(string) string {
	return func(root string) string {
		if program.Find(root, names...) == "" {
			return strings.Join(names, " or ")
		}
		return ""
	}
}

const (
	maxPassword = 256
	firstOwn    = 1000 // user ids below are the distribution's
)

var (
	userForm = form.New(`^[a-z_][a-z0-9_-]{0,31}$`)
	hostForm = form.New(`^[A-Za-z0-9.:%_-]{1,60}$`)
)

func list(_ context.Context, c *contract.Call) error {
	all, err := users.List(c.Root)
	c.Reply.Columns = []string{"name", "uid", "home", "shell"}
	for _, u := range all[:min(len(all), 2000)] {
		c.Row(u.Name, strconv.FormatUint(uint64(u.UID), 10), u.Home, u.Shell)
	}
	c.Done("%d users", len(all))
	return err
}

// nameOf is the one user of a call.
func nameOf(c *contract.Call, options ...string) (string, contract.Args, error) {
	a, err := c.Parse(1, 1, options...)
	if err == nil && !userForm.MatchString(a.Rest[0]) {
		err = contract.Invalid("user %q: is no user's name", a.Rest[0])
	}
	if err != nil {
		return "", a, err
	}
	return a.Rest[0], a, nil
}

// password is what is sent along, without the line break that ends it.
func password(c *contract.Call) (string, error) {
	raw, err := c.Given(maxPassword + 2)
	if err != nil {
		return "", err
	}
	p := strings.TrimSuffix(strings.TrimSuffix(string(raw), "\n"), "\r")
	if n := utf8.RuneCountInString(p); n < 8 || len(p) > maxPassword || !utf8.ValidString(p) ||
		strings.ContainsFunc(p, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return "", &jem.Error{Code: "invalid", Reason: fmt.Sprintf("the password has less than 8 characters, more than %d bytes, "+
			"or a control character", maxPassword), Next: "send another one"}
	}
	return p, nil
}

// run runs a program of the container; what it says is no secret.
func run(ctx context.Context, c *contract.Call, cmd program.Command) error {
	cmd.Dir = "/"
	said, err := program.Run(ctx, cmd)
	if err != nil {
		c.Said(said)
		return &jem.Error{Code: "unavailable", Reason: err.Error(), Next: "see what it wrote"}
	}
	return nil
}

func set(c *contract.Call) (contract.Steps, error) {
	name, _, err := nameOf(c)
	var p string
	return contract.Steps{
		Pre: func(context.Context) (err error) {
			if _, err = users.Find(c.Root, name); err == nil {
				p, err = password(c)
			}
			return err
		},
		Do: func(ctx context.Context) error {
			err := run(ctx, c, program.Command{Path: program.Find(c.Root, "chpasswd"), In: strings.NewReader(name + ":" + p + "\n")})
			if err == nil {
				c.Done("the password of %s is set", name)
			}
			return err
		},
	}, err
}

func add(c *contract.Call) (contract.Steps, error) {
	name, a, err := nameOf(c, "shell PATH")
	shell := a.Option("shell")
	if shell == "" {
		shell = "/bin/sh"
	}
	if err == nil {
		shell, err = contract.Path(shell)
	}
	return contract.Steps{
		Pre: func(context.Context) error {
			if _, err := users.Find(c.Root, name); err == nil {
				return &jem.Error{Code: "conflict", Reason: fmt.Sprintf("there is a user %q", name), Next: "jem passwd set " + name}
			}
			if program.Find(c.Root, shell) == "" {
				return &jem.Error{Code: "not_found", Reason: "there is no shell " + shell, Next: "see /etc/shells"}
			}
			return nil
		},
		Do: func(ctx context.Context) error {
			cmd := program.Command{Path: program.Find(c.Root, "useradd"), Args: []string{"-m", "-s", shell, name}}
			if cmd.Path == "" { // busybox
				cmd = program.Command{Path: program.Find(c.Root, "adduser"), Args: []string{"-D", "-s", shell, name}}
			}
			err := run(ctx, c, cmd)
			if err == nil {
				c.Done("%s is a user, without a password", name)
			}
			return err
		},
	}, err
}

func lock(option, done string) func(*contract.Call) (contract.Steps, error) {
	return func(c *contract.Call) (contract.Steps, error) {
		name, _, err := nameOf(c)
		return contract.Steps{
			Pre: func(context.Context) error {
				u, err := users.Find(c.Root, name)
				if err == nil && u.UID < firstOwn && u.UID != 0 {
					err = &jem.Error{Code: "denied", Reason: fmt.Sprintf("user %s is the distribution's own: its number is below %d",
						name, firstOwn)}
				}
				return err
			},
			Do: func(ctx context.Context) error {
				err := run(ctx, c, program.Command{Path: program.Find(c.Root, "passwd"), Args: []string{option, name}})
				if err == nil {
					c.Done("the password of %s is %s", name, done)
				}
				return err
			},
		}, err
	}
}

// sql has a database's own client carry out what is said on its stdin.
func sql(c *contract.Call, text func(name, password string) string, of database.Database) contract.Steps {
	var p string
	var cmd program.Command
	name := ""
	return contract.Steps{
		Pre: func(context.Context) (err error) {
			if cmd, err = of.Client(c.Root); err == nil {
				p, err = password(c)
			}
			return err
		},
		Do: func(ctx context.Context) error {
			name = c.Args[0]
			cmd.In = strings.NewReader(text(name, p))
			said, err := program.Run(ctx, cmd)
			if err != nil {
				return &jem.Error{Code: "unavailable", Reason: strings.ReplaceAll(err.Error(), p, "…"),
					Next: "is the server running? jem service status"}
			}
			_ = said // may repeat what it was given
			c.Done("the password of %s is set", name)
			return nil
		},
	}
}

func postgresql(c *contract.Call) (contract.Steps, error) {
	name, a, err := nameOf(c, "superuser")
	if err != nil {
		return contract.Steps{}, err
	}
	c.Args = []string{name}
	super := ""
	if a.Has("superuser") {
		super = " SUPERUSER"
	}
	text := func(name, p string) string {
		// names have the form of userForm; standard_conforming_strings makes the quote the only character that ends the literal
		return fmt.Sprintf("\\set ON_ERROR_STOP on\nSET standard_conforming_strings = on;\nSET log_statement = 'none';\n"+
			"SELECT 'CREATE ROLE \"%[1]s\"' WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '%[1]s') \\gexec\n"+
			"ALTER ROLE \"%[1]s\" LOGIN%[3]s PASSWORD '%[2]s';\n", name, strings.ReplaceAll(p, "'", "''"), super)
	}
	return sql(c, text, database.PostgreSQL), nil
}

func mariadb(c *contract.Call) (contract.Steps, error) {
	name, a, err := nameOf(c, "from HOST")
	from := a.Option("from")
	if from == "" {
		from = "%"
	}
	if err == nil && !hostForm.MatchString(from) {
		err = contract.Invalid("host %q: is none", from)
	}
	if err == nil && name == "root" {
		err = &jem.Error{Code: "denied", Reason: "root of MariaDB comes in by the container's root, without a password",
			Next: "make another user"}
	}
	if err != nil {
		return contract.Steps{}, err
	}
	c.Args = []string{name}
	text := func(name, p string) string {
		p = strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(p)
		return fmt.Sprintf("SET SESSION sql_mode = '';\nCREATE USER IF NOT EXISTS '%[1]s'@'%[2]s';\n"+
			"ALTER USER '%[1]s'@'%[2]s' IDENTIFIED BY '%[3]s';\n",
			name, from, p)
	}
	return sql(c, text, database.MariaDB), nil
}
