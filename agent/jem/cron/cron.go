// Package cron is JEM's module of what is done at set times.
//
// Owns: the files /etc/cron.d/jem-NAME: one job each.
// In: names, times, users, commands.
// Out: jobs that cron takes; a list of all that it knows.
// Never: changes a job that it did not make, or lets a command break out of its line.
package cron

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"hardnode.dev/agent/jem/contract"
	"hardnode.dev/agent/jem/file"
	"hardnode.dev/agent/jem/program"
	"hardnode.dev/agent/jem/users"
	"hardnode.dev/internal/wire/form"
	"hardnode.dev/internal/wire/jem"
)

const (
	dir     = "/etc/cron.d"
	own     = "jem-"
	maxFile = 256 << 10
)

// Module is the module's table.
var Module = contract.Module{Name: "cron", Help: "what is done at set times", Actions: []contract.Action{
	{Name: "list", Help: "jobs of the whole container", Reads: true, Begin: contract.Only(list)},
	{Name: "set", Args: "NAME TIME USER COMMAND…",
		Help:  `make a job, or change it; TIME is "MINUTE HOUR DAY MONTH WEEKDAY" or @daily and its like`,
		Lacks: lacks, Begin: set},
	{Name: "remove", Args: "NAME", Help: "take a job away that set made", Frees: true, Begin: remove},
}}

// lacks wants a cron that reads /etc/cron.d: Debian's, cronie; busybox's does not.
func lacks(root string) string {
	at := program.Find(root, "cron", "crond")
	real, err := filepath.EvalSymlinks(at)
	if at == "" || err != nil || strings.HasSuffix(real, "/busybox") {
		return "cron that reads " + dir
	}
	if st, err := os.Stat(filepath.Join(root, dir)); err != nil || !st.IsDir() {
		return "directory " + dir
	}
	return ""
}

var nameForm = form.New(`^[a-z0-9][a-z0-9-]{0,39}$`) // cron leaves out files with dots in their names
var userForm = form.New(`^[a-z_][a-z0-9_-]{0,31}$`)

// field is one part of a time (crontab(5)).
type field struct {
	name        string
	least, most int
	words       string // names from least on, each three letters
}

var fields = []field{{"minute", 0, 59, ""}, {"hour", 0, 23, ""}, {"day", 1, 31, ""}, {"month", 1, 12,
	"janfebmaraprmayjunjulaugsepoctnovdec"},
	{"weekday", 0, 7, "sunmontuewedthufrisat"}}

var nicknames = []string{"@reboot", "@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly"}

// Valid checks a time.
func Valid(time string) error {
	if strings.HasPrefix(time, "@") {
		if !slices.Contains(nicknames, time) {
			return fmt.Errorf("want one of %s", strings.Join(nicknames, ", "))
		}
		return nil
	}
	parts := strings.Split(time, " ")
	if len(parts) != len(fields) {
		return fmt.Errorf("has %d fields, want 5 with a blank between them: MINUTE HOUR DAY MONTH WEEKDAY", len(parts))
	}
	for i, p := range parts {
		for item := range strings.SplitSeq(p, ",") {
			if err := fields[i].valid(item); err != nil {
				return fmt.Errorf("%s %q: %v", fields[i].name, item, err)
			}
		}
	}
	return nil
}

// valid checks "*", "n", "n-m", each with "/step".
func (f field) valid(item string) error {
	span, step, stepped := strings.Cut(item, "/")
	if stepped {
		if n, err := strconv.Atoi(step); err != nil || n < 1 || n > f.most || len(step) > 3 {
			return fmt.Errorf("its step is no number from 1 to %d", f.most)
		}
	}
	if span == "*" {
		return nil
	}
	from, to, ranged := strings.Cut(span, "-")
	a, err := f.number(from)
	if err != nil {
		return err
	}
	if stepped && !ranged {
		return errors.New("a step needs * or a range before it")
	}
	if ranged {
		b, err := f.number(to)
		if err != nil {
			return err
		}
		if b < a {
			return errors.New("ends before it begins")
		}
	}
	return nil
}

func (f field) number(s string) (int, error) {
	if at := strings.Index(f.words, strings.ToLower(s)); len(s) == 3 && at >= 0 && at%3 == 0 {
		return f.least + at/3, nil
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < f.least || n > f.most || len(s) > 2 || s[0] == '+' || s[0] == '-' {
		return 0, fmt.Errorf("want %d to %d", f.least, f.most)
	}
	return n, nil
}

func set(c *contract.Call) (contract.Steps, error) {
	if len(c.Args) < 4 {
		return contract.Steps{}, &jem.Error{Code: "invalid", Reason: "a name, a time, a user and a command are needed",
			Next: `use: jem cron set NAME "MINUTE HOUR DAY MONTH WEEKDAY" USER COMMAND…`}
	}
	name, time, user, command := c.Args[0], c.Args[1], c.Args[2], strings.Join(c.Args[3:], " ")
	if !nameForm.MatchString(name) {
		return contract.Steps{}, contract.Invalid("name %q: want a-z, 0-9 and dashes", name)
	}
	if err := Valid(time); err != nil {
		return contract.Steps{}, contract.Invalid("time %q: %v", time, err)
	}
	if !userForm.MatchString(user) {
		return contract.Steps{}, contract.Invalid("user %q: is no user's name", user)
	}
	if command == "" || len(command) > 900 || strings.ContainsFunc(command, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return contract.Steps{}, contract.Invalid("the command is empty, longer than 900 bytes, or has a line break in it")
	}
	at := filepath.Join(c.Root, dir, own+name)
	return contract.Steps{
		Pre: func(context.Context) error {
			_, err := users.Find(c.Root, user)
			return err
		},
		Do: func(context.Context) error {
			text := fmt.Sprintf("# made by jem cron set\nPATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n%s %s %s\n",
				time, user,
				strings.ReplaceAll(command, "%", `\%`)) // cron makes a line break of it otherwise
			if err := file.Write(at, []byte(text), file.Owned{Mode: 0o644, Force: true}); err != nil {
				return err
			}
			c.Done("job %s: %s, as %s", name, time, user)
			return nil
		},
	}, nil
}

func remove(c *contract.Call) (contract.Steps, error) {
	a, err := c.Parse(1, 1)
	if err != nil {
		return contract.Steps{}, err
	}
	if !nameForm.MatchString(a.Rest[0]) {
		return contract.Steps{}, contract.Invalid("name %q: want a-z, 0-9 and dashes", a.Rest[0])
	}
	return contract.Steps{Do: func(context.Context) error {
		err := os.Remove(filepath.Join(c.Root, dir, own+a.Rest[0]))
		if errors.Is(err, fs.ErrNotExist) {
			return &jem.Error{Code: "not_found", Reason: "there is no job " + a.Rest[0] + " of jem's", Next: "jem cron list"}
		}
		if err == nil {
			c.Done("job %s is gone", a.Rest[0])
		}
		return err
	}}, nil
}

func list(_ context.Context, c *contract.Call) error {
	c.Reply.Columns = []string{"name", "time", "user", "command", "file"}
	read := func(path, user string) {
		raw, err := file.Read(filepath.Join(c.Root, path), maxFile)
		if err != nil {
			return
		}
		for _, j := range jobs(string(raw), user) {
			name := ""
			if rest, ok := strings.CutPrefix(filepath.Base(path), own); ok && filepath.Dir(path) == dir {
				name = rest
			}
			c.Row(name, j[0], j[1], j[2], path)
		}
	}
	read("/etc/crontab", "")
	for _, d := range []struct {
		path string
		own  bool // the file's name is the user's
	}{{dir, false}, {"/var/spool/cron/crontabs", true}, {"/var/spool/cron", true}, {"/etc/crontabs", true}} {
		entries, _ := os.ReadDir(filepath.Join(c.Root, d.path))
		for _, e := range entries[:min(len(entries), 500)] {
			user := ""
			if d.own {
				user = e.Name()
			}
			if e.Type().IsRegular() && len(c.Reply.Items) < 5000 {
				read(filepath.Join(d.path, e.Name()), user)
			}
		}
	}
	c.Done("%d jobs", len(c.Reply.Items))
	return nil
}

// jobs reads a crontab: time, user, command of each line that is a job. Without a user of its own, each line names one.
func jobs(text, user string) (list [][3]string) {
	for line := range strings.Lines(strings.ToValidUTF8(text, "?")) {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' || len(list) == 500 {
			continue
		}
		n := len(fields)
		if line[0] == '@' {
			n = 1
		}
		f := strings.Fields(line)
		if len(f) <= n || Valid(strings.Join(f[:n], " ")) != nil {
			continue // a variable, or nothing that cron would take
		}
		who, command := user, f[n:]
		if who == "" {
			who, command = f[n], f[n+1:]
		}
		list = append(list, [3]string{strings.Join(f[:n], " "), who, fmt.Sprintf("%.500s", strings.Join(command, " "))})
	}
	return list
}
