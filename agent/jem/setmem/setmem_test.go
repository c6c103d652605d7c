package setmem

import (
	"fmt"
	"strconv"
	"strings"
	"testing"

	"hardnode.dev/agent/jem/contract/contracttest"
	"hardnode.dev/internal/wire/jem"
)

// TestPools: PHP-FPM wants min spare ≤ start ≤ max spare ≤ children, at every size.
func TestPools(t *testing.T) {
	for mb := int64(32); mb < 1<<20; mb = mb*9/8 + 1 {
		var n [4]int
		for i, s := range php(size{mb * mib, 1}) {
			n[i], _ = strconv.Atoi(s.value)
		}
		if n[0] < 1 || n[2] < 1 || n[2] > n[1] || n[1] > n[3] || n[3] > n[0] {
			t.Errorf("%d MiB: children, start, least and most spare are %v", mb, n)
		}
	}
}

// TestWithin: what servers are told to take is never more than there is.
func TestWithin(t *testing.T) {
	for _, mb := range []int64{64, 128, 512, 2048, 65536} {
		s := size{mb * mib, 2}
		for name, list := range map[string][]setting{"postgresql": postgresql(s)[:1], "mariadb": mariadb(s)[:3], "java": java(s),
			"node": node(s)} {
			sum := int64(0)
			for _, v := range list {
				digits := strings.Map(func(r rune) rune {
					if r >= '0' && r <= '9' {
						return r
					}
					return -1
				}, v.value)
				n, _ := strconv.ParseInt(digits, 10, 64)
				sum += n
			}
			if sum > mb*3/4 || sum <= 0 {
				t.Errorf("%s of %d MiB: takes %d", name, mb, sum)
			}
		}
	}
}

const check = "#!/bin/sh\n[ ! -e \"$(dirname \"$0\")/../bad\" ] || { echo 'unknown directive' >&2; exit 1; }\n"

// all is a root with every server that can be tuned.
var all = map[string]string{
	"usr/sbin/nginx": check, "etc/nginx/nginx.conf": "worker_processes auto;\ninclude /etc/nginx/modules-enabled/*.conf;\nevents {}\n",
	"etc/nginx/modules-enabled/": "",
	"usr/sbin/php-fpm8.2":        check, "etc/php/8.2/fpm/pool.d/www.conf": "[www]\npm = dynamic\n[global]\n; [old]\n[api]\n",
	"usr/lib/postgresql/15/bin/postgres": check, "etc/postgresql/15/main/postgresql.conf": "include_dir = 'conf.d'\t# more\n",
	"etc/postgresql/15/main/conf.d/": "",
	"usr/sbin/mariadbd":              check, "etc/mysql/mariadb.conf.d/": "",
	"usr/bin/node": "#!/bin/sh\n", "usr/bin/java": "#!/bin/sh\n",
	"run/systemd/system/": "", "bin/systemctl": "#!/bin/sh\necho \"$*\" >> \"$(dirname \"$0\")/../told\"\n",
}

func call(t *testing.T, root string, memory int64, argv ...string) jem.Reply {
	t.Helper()
	return contracttest.Call(t, Module, root, contracttest.Options{Told: jem.Told{Memory: memory, MilliCPU: 1500}}, argv...)
}

func TestApply(t *testing.T) {
	root := contracttest.Root(t, all)
	r := call(t, root, 2<<30, "apply")
	want := "php-fpm: told; postgresql, mariadb, java, node, nginx: written, counts after a restart (--restart)"
	if r.Code != jem.CodeOK || r.Message != want {
		t.Fatalf("%+v", r)
	}
	for path, want := range map[string]string{
		"etc/php/8.2/fpm/pool.d/zzz-jem-setmem.conf":        "[www]\npm.max_children = 2\npm.start_servers = 1\n",
		"etc/postgresql/15/main/conf.d/90-jem-setmem.conf":  "shared_buffers = 102MB\n",
		"etc/mysql/mariadb.conf.d/z90-jem-setmem.cnf":       "[mysqld]\ninnodb_buffer_pool_size = 204M\n",
		"etc/nginx/modules-enabled/90-jem-setmem.conf":      "worker_rlimit_nofile 65536;\n",
		"etc/systemd/system.conf.d/60-jem-setmem-java.conf": "[Manager]\nDefaultEnvironment=\"JAVA_TOOL_OPTIONS=-Xmx286m\"\n",
		"etc/systemd/system.conf.d/60-jem-setmem-node.conf": "--max-old-space-size=306",
		"told": "set-environment -- JAVA_TOOL_OPTIONS=-Xmx286m\n",
	} {
		if got := contracttest.Text(root, path); !strings.Contains(got, want) {
			t.Errorf("%s is %q, want %q in it", path, got, want)
		}
	}
	if r := call(t, root, 2<<30, "apply"); r.Message != "nothing is to be changed" {
		t.Errorf("again: %+v", r)
	}
	if r := call(t, root, 2<<30, "apply", "--restart"); r.Code != jem.CodeOK ||
		r.Message != "postgresql, mariadb, java, node, nginx: told" {
		t.Errorf("with a restart of what was only written: %+v", r)
	}
	if r := call(t, root, 2<<30, "show"); r.Items[0]["state"] != "in place" || len(r.Items) != 4+4+6+1+1+1 {
		t.Errorf("show: %+v", r)
	}
	contracttest.Write(t, root, "usr/bad", "")
	pools := "etc/php/8.2/fpm/pool.d/zzz-jem-setmem.conf"
	before := contracttest.Text(root, pools)
	r = call(t, root, 8<<30, "apply")
	if r.Code != "invalid" || !strings.Contains(r.Message, "does not take its configuration") || contracttest.Text(root, pools) != before {
		t.Errorf("a server that refuses: %+v, then %q", r, contracttest.Text(root, pools))
	}
	root2 := contracttest.Root(t, all)
	call(t, root2, 2<<30, "apply")
	if r := call(t, root2, 2<<30, "remove"); r.Code != jem.CodeOK || contracttest.Text(root2, pools) != "" ||
		!strings.Contains(contracttest.Text(root2, "told"), "unset-environment -- NODE_OPTIONS") {
		t.Errorf("remove: %+v", r)
	}
}

// TestResized: after a resize only what the template says is done, and as it says.
func TestResized(t *testing.T) {
	for says, want := range map[string]string{
		"":                                 "left: the template does not say",
		`{"version":1}`:                    "left: the template does not say",
		`{"version":1,"setmem":"tell"}`:    "written, counts after a restart",
		`{"version":1,"setmem":"restart"}`: "php-fpm, postgresql, mariadb, java, node, nginx: told",
		`{"version":1,"setmem":"often"}`:   `setmem: "often" is neither tell nor restart`,
	} {
		root := contracttest.Root(t, all)
		if says != "" {
			contracttest.Write(t, root, "etc/jem/template.json", says)
		}
		r := call(t, root, 2<<30, "apply", "--resized")
		if !strings.Contains(r.Message, want) || (r.Code == jem.CodeOK) != !strings.Contains(says, "often") {
			t.Errorf("%s: %s, %s", says, r.Code, r.Message)
		}
		wrote := contracttest.Text(root, "etc/mysql/mariadb.conf.d/z90-jem-setmem.cnf") != ""
		if wrote != (strings.Contains(says, "tell") || strings.Contains(says, "restart")) {
			t.Errorf("%s: written is %v", says, wrote)
		}
	}
}

// TestLeft: what can't be tuned is said, with what to do.
func TestLeft(t *testing.T) {
	for name, c := range map[string]struct {
		files map[string]string
		want  string
		code  string
	}{
		"nothing": {nil, "no server that JEM can tune is here", "unavailable"},
		"an app":  {map[string]string{"bin/node": "#!/bin/sh\n"}, "node: left, an app container's variables come from", jem.CodeOK},
		"own value": {map[string]string{"bin/node": "#!/bin/sh\n", "etc/jem/env": "NODE_OPTIONS=-x\n"}, "is set by jem env, and stays",
			jem.CodeOK},
		"a pool of the main file": {map[string]string{"usr/sbin/php-fpm": check, "etc/php-fpm.d/": "", "etc/php-fpm.conf": "[www]\n"},
			"php-fpm: told", jem.CodeOK},
		"no pool": {map[string]string{"usr/sbin/php-fpm": check, "etc/php-fpm.d/": ""}, "/etc/php-fpm.d has no pool", jem.CodeOK},
		"no include_dir": {map[string]string{"usr/bin/postgres": check, "var/lib/postgresql/data/postgresql.conf": "#include_dir = 'x'\n"},
			"has no include_dir: add", jem.CodeOK},
		"a place of the host": {map[string]string{"usr/bin/postgres": check,
			"var/lib/postgresql/data/postgresql.conf": "include_dir='/proc/x'"},
			"is not the container's own", jem.CodeOK},
		"nginx says it": {map[string]string{"usr/sbin/nginx": check,
			"etc/nginx/nginx.conf": "worker_processes 1; # one\nworker_rlimit_nofile 10;\n"}, "worker_rlimit_nofile 10, which stays",
			jem.CodeOK},
		"nginx has no place": {map[string]string{"usr/sbin/nginx": check, "etc/nginx/nginx.conf": "events {}\n"},
			"includes no directory outside its http block", jem.CodeOK},
		"mariadb has no place": {map[string]string{"usr/sbin/mariadbd": check}, "it reads no directory", jem.CodeOK},
	} {
		r := call(t, contracttest.Root(t, c.files), 1<<30, "apply")
		if r.Code != c.code || !strings.Contains(r.Message, c.want) {
			t.Errorf("%s: %s %q, want %q", name, r.Code, r.Message, c.want)
		}
	}
	r := call(t, contracttest.Root(t, nil), 0, "apply")
	if r.Code != "unavailable" || !strings.Contains(r.Message, "can't be told how much") {
		t.Errorf("no memory known: %+v", r)
	}
}

// TestSize: without a host's word, what can be seen.
func TestSize(t *testing.T) {
	for want, files := range map[string]map[string]string{
		"512 MiB and 1": {"sys/fs/cgroup/memory.max": "536870912\n"},
		"1024 MiB and 2": {"sys/fs/cgroup/memory.max": "max\n", "proc/meminfo": "MemTotal:  1048576 kB\nMemFree: 1 kB\n",
			"proc/cpuinfo": "processor\t: 0\nmodel: x\n\nprocessor\t: 1\n"},
	} {
		r := contracttest.Call(t, Module, contracttest.Root(t, files), contracttest.Options{}, "show")
		if !strings.HasPrefix(r.Message, want+" processors: ") {
			t.Errorf("%v: %s", files, fmt.Sprintf("%+v", r))
		}
	}
}
