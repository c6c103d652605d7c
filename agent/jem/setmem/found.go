package setmem

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"hardnode.dev/agent/jem/contract"
	"hardnode.dev/agent/jem/file"
	"hardnode.dev/agent/jem/program"
	"hardnode.dev/agent/jem/server"
	"hardnode.dev/agent/jem/service"
	"hardnode.dev/internal/wire/form"
	"hardnode.dev/internal/wire/jem"
)

const maxFile = 1 << 20

// target is one drop-in of a server that is here.
type target struct {
	server   string
	path     string // of the drop-in, below the root; "" is none: why says it
	why      string
	main     string // the file by which the server checks itself; "" is any
	settings []setting
	text     string   // what the drop-in is to say
	restarts bool     // the values count only after a restart; else a reload is enough
	programs []string // that take a variable, by the names of their files; nil: it has a configuration
}

// sizeOf is what the host says that the container may use, or what can be seen of it.
func sizeOf(c *contract.Call) (size, error) {
	s := size{c.Told.Memory, int(c.Told.MilliCPU+999) / 1000}
	if s.memory <= 0 {
		s.memory = number(filepath.Join(c.Root, "sys/fs/cgroup/memory.max"), 0) // "max" is none
	}
	if s.memory <= 0 {
		s.memory = number(filepath.Join(c.Root, "proc/meminfo"), 1) << 10
	}
	if s.memory < 32*mib {
		return s, &jem.Error{Code: "unavailable",
			Reason: "it can't be told how much memory this container may use, or it is less than 32 MiB",
			Next:   "call it by the host: hnctl jem NODE setmem"}
	}
	if s.cpus < 1 {
		raw, _ := file.Read(filepath.Join(c.Root, "proc/cpuinfo"), maxFile)
		s.cpus = max(1, strings.Count("\n"+string(raw), "\nprocessor"))
	}
	return s, nil
}

// number is a field of a file's first line.
func number(path string, field int) int64 {
	raw, err := file.Read(path, maxFile)
	f := strings.Fields(string(raw[:min(len(raw), 4096)]))
	if err != nil || len(f) <= field {
		return 0
	}
	n, _ := strconv.ParseInt(f[field], 10, 64)
	return n
}

// found are the targets of all servers that are here. Those that live on memory share it.
func found(c *contract.Call, s size) (list []target) {
	finders := []func(root string, s size) []target{phpOf, postgresqlOf, mariadbOf, javaOf, nodeOf}
	here := 0
	for _, f := range finders {
		if len(f(c.Root, s)) > 0 {
			here++
		}
	}
	share := s
	share.memory /= int64(max(1, here))
	for _, f := range finders {
		list = append(list, f(c.Root, share)...)
	}
	return append(list, nginxOf(c.Root, s)...)
}

// has tells whether a server of the table is here.
func has(root, name string) bool {
	s, ok := server.ByName(name)
	return ok && s.Program(root) != ""
}

// glob are the directories that are there, in the order of the patterns.
func glob(root string, patterns ...string) (list []string) {
	for _, p := range patterns {
		all, _ := filepath.Glob(filepath.Join(root, p))
		for _, at := range all {
			if st, err := os.Stat(at); err == nil && st.IsDir() {
				list = append(list, "/"+strings.TrimPrefix(strings.TrimPrefix(at, root), "/"))
			}
		}
	}
	return list
}

// sets tells what a file first says of a name, outside comments.
func sets(root, path, name string) (value string, ok bool) {
	raw, err := file.Read(filepath.Join(root, path), maxFile)
	if err != nil {
		return "", false
	}
	for line := range strings.Lines(string(raw)) {
		line, _, _ = strings.Cut(line, "#")
		rest, is := strings.CutPrefix(strings.TrimSpace(line), name)
		if is && rest != "" && strings.ContainsAny(rest[:1], " \t=") {
			return strings.Trim(rest, " \t=;'\""), true
		}
	}
	return "", false
}

var poolForm = form.New(`^\[([A-Za-z0-9_.-]{1,64})\]$`)

// phpOf: pools are sections; one that is named again goes on.
func phpOf(root string, s size) (list []target) {
	if !has(root, "php-fpm") {
		return nil
	}
	for _, dir := range glob(root, "/etc/php/*/fpm/pool.d", "/usr/local/etc/php-fpm.d", "/etc/php-fpm.d", "/etc/php*/php-fpm.d") {
		t := target{server: "php-fpm", path: filepath.Join(dir, "zzz-jem-setmem.conf")}
		var pools []string
		files, _ := filepath.Glob(filepath.Join(root, dir, "*.conf"))
		for _, f := range append(files, filepath.Join(root, filepath.Dir(dir), "php-fpm.conf")) {
			raw, _ := file.Read(f, maxFile)
			for line := range strings.Lines(string(raw)) {
				m := poolForm.FindStringSubmatch(strings.TrimSpace(line))
				if m != nil && m[1] != "global" && !slices.Contains(pools, m[1]) {
					pools = append(pools, m[1])
				}
			}
		}
		if len(pools) == 0 {
			list = append(list, target{server: "php-fpm", why: dir + " has no pool"})
			continue
		}
		each := s
		each.memory /= int64(len(pools))
		t.settings = php(each)
		for _, p := range pools {
			t.text += "[" + p + "]\n" + lines(t.settings, "%s = %s\n")
		}
		list = append(list, t)
	}
	return list
}

// postgresqlOf: a cluster's configuration names a directory for more of it.
func postgresqlOf(root string, s size) (list []target) {
	if !has(root, "postgresql") {
		return nil
	}
	var conf []string
	for _, p := range []string{"/etc/postgresql/*/*", "/etc/postgresql", "/var/lib/postgresql/data", "/var/lib/postgresql/*/data"} {
		all, _ := filepath.Glob(filepath.Join(root, p, "postgresql.conf"))
		for _, at := range all {
			conf = append(conf, "/"+strings.TrimPrefix(strings.TrimPrefix(at, root), "/"))
		}
	}
	s.memory /= int64(max(1, len(conf)))
	for _, main := range conf {
		t := target{server: "postgresql", main: main, settings: postgresql(s), restarts: true}
		t.text = lines(t.settings, "%s = %s\n")
		dir, ok := sets(root, main, "include_dir")
		if !ok {
			t.path, t.why = "", main+" has no include_dir: add include_dir = 'conf.d' to it"
		} else if !filepath.IsAbs(dir) {
			dir = filepath.Join(filepath.Dir(main), dir)
		}
		if ok {
			if clean, err := contract.Path(dir); err == nil {
				t.path = filepath.Join(clean, "90-jem-setmem.conf")
			} else {
				t.why = err.Error()
			}
		}
		list = append(list, t)
	}
	return list
}

// mariadbOf: the last directory that is read.
func mariadbOf(root string, s size) []target {
	if !has(root, "mariadb") {
		return nil
	}
	t := target{server: "mariadb", settings: mariadb(s), restarts: true}
	t.text = "[mysqld]\n" + lines(t.settings, "%s = %s\n")
	dirs := glob(root, "/etc/mysql/conf.d", "/etc/my.cnf.d", "/etc/mysql/mariadb.conf.d")
	if len(dirs) == 0 {
		t.why = "it reads no directory: there is neither /etc/mysql/mariadb.conf.d nor /etc/mysql/conf.d nor /etc/my.cnf.d"
		return []target{t}
	}
	t.path = filepath.Join(dirs[len(dirs)-1], "z90-jem-setmem.cnf")
	t.main = t.path
	return []target{t}
}

// nginxOf: a value may be said once. What nginx.conf says stays; auto is the number of processors at nginx's start.
func nginxOf(root string, s size) []target {
	if !has(root, "nginx") {
		return nil
	}
	const main = "/etc/nginx/nginx.conf"
	t := target{server: "nginx", restarts: true}
	for _, v := range nginx(s) {
		if said, ok := sets(root, main, v.name); !ok {
			t.settings = append(t.settings, v)
		} else {
			t.why = fmt.Sprintf("%s says %s %s, which stays", main, v.name, said)
		}
	}
	t.text = lines(t.settings, "%s %s;\n")
	if inc, ok := sets(root, main, "include"); ok && strings.HasSuffix(inc, "modules-enabled/*.conf") && len(t.settings) > 0 {
		t.path = "/etc/nginx/modules-enabled/90-jem-setmem.conf"
	} else if t.why == "" {
		t.why = main + " includes no directory outside its http block: add include /etc/nginx/modules-enabled/*.conf; to it"
	}
	return []target{t}
}

// variables is a target of a program that takes a variable, from systemd.
func variables(root string, settings []setting, name string, more ...string) []target {
	t := target{server: name, settings: settings, restarts: true, programs: append(more, name)}
	v := settings[0]
	switch _, own := sets(root, "/etc/jem/env", v.name); {
	case own:
		t.why = v.name + " is set by jem env, and stays"
	case service.InitOf(root) != jem.InitSystemd || program.Find(root, "systemctl") == "":
		t.why = "an app container's variables come from its environment's topology: set " + v.name + " there"
	default:
		t.path = "/etc/systemd/system.conf.d/60-jem-setmem-" + name + ".conf"
		t.text = "[Manager]\nDefaultEnvironment=\"" + v.name + "=" + v.value + "\"\n"
	}
	return []target{t}
}

func javaOf(root string, s size) []target {
	if program.Find(root, "java") == "" && len(glob(root, "/usr/lib/jvm/*/bin", "/opt/java/*/bin")) == 0 {
		return nil
	}
	return variables(root, java(s), "java")
}

func nodeOf(root string, s size) []target {
	if program.Find(root, "node", "nodejs") == "" {
		return nil
	}
	return variables(root, node(s), "node", "nodejs")
}

func lines(list []setting, form string) string {
	var b strings.Builder
	for _, s := range list {
		fmt.Fprintf(&b, form, s.name, s.value)
	}
	return b.String()
}

// head is what every drop-in begins with; the comment's sign is the server's.
func (t target) content() string {
	sign := "#"
	if t.server == "php-fpm" {
		sign = ";"
	}
	return sign + " made by jem setmem: what it says here goes with the next jem setmem apply\n" + t.text
}

// verify has the server check what it is given now.
func (t target) verify(ctx context.Context, c *contract.Call) error {
	s, ok := server.ByName(t.server)
	if !ok {
		return nil // it takes a variable
	}
	main := t.main
	if main == "" {
		main = s.Main
	}
	said, _, err := s.Verify(ctx, c.Root, main)
	c.Said(said)
	return err
}
