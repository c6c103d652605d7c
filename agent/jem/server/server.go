// Package server knows the servers that JEM may find in a container: where their configuration is, and how they check it.
//
// Owns: the table of servers.
// In: a root, the path of a file.
// Out: which server it belongs to; whether the server would take its configuration.
// Never: changes a file, or starts a server.
package server

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"hardnode.dev/agent/jem/file"
	"hardnode.dev/agent/jem/program"
	"hardnode.dev/agent/jem/service"
	"hardnode.dev/internal/wire/jem"
)

// Server is a program that serves from a configuration.
type Server struct {
	Name     string
	Units    []string // what service managers call it: names or patterns, the likeliest first
	Comms    []string // what its process is called
	Dirs     []string // of its configuration, absolute
	Programs []string // any of them checks; names, or patterns of absolute paths
	Check    []string // arguments; none: it has no check. %f is the checked file
	OnlyFor  string   // the end of the names that are checked; "" is all
	Quiet    bool     // its check prints much that nobody needs
	Run      string   // a directory below the root that its check wants to be there
	Main     string   // the file that is checked where none is named; "": any
	// Told are variables of its process that its check needs, where they are set, and the options of its command line that say the same.
	Told map[string]string
	Env  bool // its check needs all of them: the configuration may name any
}

// Servers are those that are known, most likely first.
var Servers = []Server{
	{Name: "nginx", Units: []string{"nginx"}, Comms: []string{"nginx"},
		Dirs: []string{"/etc/nginx"}, Programs: []string{"nginx", "/usr/local/nginx/sbin/nginx"},
		Check: []string{"-t", "-q"}},
	{Name: "haproxy", Units: []string{"haproxy"}, Comms: []string{"haproxy"},
		Dirs: []string{"/etc/haproxy", "/usr/local/etc/haproxy"}, Programs: []string{"haproxy"},
		Check: []string{"-c", "-f", "%f"}, OnlyFor: ".cfg", Main: "/etc/haproxy/haproxy.cfg", Env: true},
	{Name: "apache", Units: []string{"apache2", "httpd"}, Comms: []string{"apache2", "httpd"},
		Dirs:     []string{"/etc/apache2", "/etc/httpd", "/usr/local/apache2/conf"},
		Programs: []string{"apache2ctl", "apachectl", "httpd", "/usr/local/apache2/bin/httpd"}, Check: []string{"-t"}},
	{Name: "php-fpm", Units: []string{"php-fpm", "php*-fpm", "php-fpm*"}, Comms: []string{"php-fpm"},
		Dirs:     []string{"/etc/php", "/usr/local/etc/php-fpm.d", "/usr/local/etc/php", "/etc/php-fpm.d"},
		Programs: []string{"php-fpm", "/usr/sbin/php-fpm*", "/usr/local/sbin/php-fpm"}, Check: []string{"-t"}},
	{Name: "postgresql", Units: []string{"postgresql", "postgresql-*"}, Comms: []string{"postgres"},
		Dirs:     []string{"/etc/postgresql", "/var/lib/postgresql"},
		Programs: []string{"postgres", "/usr/lib/postgresql/*/bin/postgres", "/usr/local/bin/postgres"},
		Check:    []string{"-C", "config_file", "-c", "config_file=%f"}, OnlyFor: "postgresql.conf",
		Told: map[string]string{"PGDATA": "-D"}},
	// -C first: it is then done by root too
	{Name: "mariadb", Units: []string{"mariadb", "mysql", "mysqld"}, Comms: []string{"mariadbd", "mysqld"},
		Dirs: []string{"/etc/mysql", "/etc/my.cnf.d"}, Programs: []string{"mariadbd", "mysqld"},
		Check: []string{"--help", "--verbose", "--user=mysql"}, OnlyFor: ".cnf", Quiet: true},
	{Name: "sshd", Units: []string{"ssh", "sshd"}, Comms: []string{"sshd"},
		Dirs: []string{"/etc/ssh"}, Programs: []string{"sshd"}, Check: []string{"-t"}, Run: "run/sshd"},
	{Name: "named", Units: []string{"named", "bind9"}, Comms: []string{"named"},
		Dirs: []string{"/etc/bind"}, Programs: []string{"named-checkconf"}, Check: []string{"-z"}},
	{Name: "redis", Units: []string{"redis-server", "valkey-server", "redis", "valkey"}, Comms: []string{"redis-server", "valkey-server"},
		Dirs: []string{"/etc/redis", "/etc/valkey"}, Programs: []string{"redis-server", "valkey-server"}},
}

// Of is the server that a file is of; ok is false if none of those that are here keeps its configuration there.
func Of(root, path string) (s Server, ok bool) {
	for _, s := range Servers {
		if slices.ContainsFunc(s.Dirs, func(d string) bool { return strings.HasPrefix(path, d+"/") }) && s.Program(root) != "" {
			return s, true
		}
	}
	return Server{}, false
}

// ByName is a server of the table.
func ByName(name string) (Server, bool) {
	i := slices.IndexFunc(Servers, func(s Server) bool { return s.Name == name })
	if i < 0 {
		return Server{}, false
	}
	return Servers[i], true
}

// Called is the name by which whoever looks after services here knows it: that of a unit, of a script in /etc/init.d, or of the process.
func (s Server) Called(root string) string {
	where, end := []string{"etc/init.d"}, ""
	if service.InitOf(root) == jem.InitSystemd {
		where, end = []string{"etc/systemd/system", "run/systemd/system", "usr/lib/systemd/system", "lib/systemd/system"}, ".service"
	} else if !service.Scripts(root) {
		for _, name := range s.Comms {
			if program.Running(root, name) {
				return name
			}
		}
		return s.Comms[0]
	}
	for _, u := range s.Units {
		for _, d := range where {
			found, _ := filepath.Glob(filepath.Join(root, d, u+end))
			slices.Sort(found)
			for _, at := range slices.Backward(found) {
				if name := strings.TrimSuffix(filepath.Base(at), end); !strings.HasSuffix(name, "@") {
					return name
				}
			}
		}
	}
	return s.Units[0]
}

// Program is the program that checks; "" if the server is not here.
func (s Server) Program(root string) string { return program.Find(root, s.Programs...) }

// told is a variable as the container's first process, or else its own, has it, or as an option of its command line says it: NAME=VALUE; ""
// if none does. The variables of another user's process are not root's to read in a container.
func (s Server) told(root, name, option string) string {
	for _, pid := range append([]string{"1"}, program.Processes(root, s.Comms...)...) {
		raw, err := file.Read(filepath.Join(root, "proc", pid, "environ"), 1<<20)
		if err != nil {
			continue
		}
		for v := range strings.SplitSeq(string(raw), "\x00") {
			if strings.HasPrefix(v, name+"=") {
				return v
			}
		}
	}
	for _, pid := range program.Processes(root, s.Comms...) {
		raw, _ := file.Read(filepath.Join(root, "proc", pid, "cmdline"), 1<<20)
		args := strings.Split(string(raw), "\x00")
		if i := slices.Index(args, option); i >= 0 && i+1 < len(args) {
			return name + "=" + args[i+1]
		}
	}
	return ""
}

// environ is that of its process, as it was begun, without what the server says in it to itself; nil if it does not run.
func (s Server) environ(root string) []string {
	for _, pid := range program.Processes(root, s.Comms...) {
		raw, err := file.Read(filepath.Join(root, "proc", pid, "environ"), 1<<20)
		if err == nil && len(raw) > 0 {
			all := strings.Split(strings.TrimRight(string(raw), "\x00"), "\x00")
			return slices.DeleteFunc(all, func(v string) bool {
				return strings.HasPrefix(v, strings.ToUpper(s.Name)+"_") || strings.HasPrefix(v, "MWORKER")
			})
		}
	}
	return nil
}

// Verify has the server check its configuration, of which path is a file. checked is false if it has no way to.
func (s Server) Verify(ctx context.Context, root, path string) (said string, checked bool, err error) {
	if len(s.Check) == 0 || !strings.HasSuffix(path, s.OnlyFor) {
		return "", false, nil
	}
	args := make([]string, len(s.Check))
	for i, a := range s.Check {
		args[i] = strings.ReplaceAll(a, "%f", filepath.Join(root, path))
	}
	if s.Run != "" {
		os.Mkdir(filepath.Join(root, s.Run), 0o755) // the check says if it is still not there
	}
	cmd := program.Command{Path: s.Program(root), Args: args, Dir: "/"}
	if s.Env {
		cmd.Env = s.environ(root)
	}
	for name, option := range s.Told {
		if v := s.told(root, name, option); v != "" {
			cmd.Env = append(cmd.Env, v)
		}
	}
	if s.Quiet {
		cmd.Out = io.Discard
	}
	if said, err = program.Run(ctx, cmd); err != nil {
		return said, true, &jem.Error{Code: "invalid", Reason: s.Name + " does not take its configuration: " + err.Error(),
			Next: "see what it wrote, correct the file"}
	}
	return said, true, nil
}
