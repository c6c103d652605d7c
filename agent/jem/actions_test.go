package main

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"hardnode.dev/internal/wire/jem"
)

// root is a container's root as templates have it: Debian 12 packages, and what runs as the first process.
type root struct {
	name     string
	packages string
	first    string // a shell's words
	server   string // as jem config calls it
	conf     string // a file of the server's configuration
}

var roots = []root{
	{"nginx", "nginx", "exec nginx -g 'daemon off;'", "nginx", "/etc/nginx/nginx.conf"},
	{"haproxy", "haproxy", "mkdir -p /run/haproxy; exec haproxy -W -db -f /etc/haproxy/haproxy.cfg", "haproxy", "/etc/haproxy/haproxy.cfg"},
	{"apache", "apache2", ". /etc/apache2/envvars; mkdir -p /run/apache2 /run/lock; exec apache2 -DFOREGROUND", "apache",
		"/etc/apache2/apache2.conf"},
	{"php", "php-fpm", "mkdir -p /run/php; exec php-fpm8.2 -F", "php-fpm", "/etc/php/8.2/fpm/pool.d/www.conf"},
	{"postgresql", "postgresql", "mkdir -p -m 2775 /run/postgresql; chown postgres: /run/postgresql; exec setpriv --reuid postgres " +
		"--regid postgres --init-groups /usr/lib/postgresql/15/bin/postgres -c config_file=/etc/postgresql/15/main/postgresql.conf",
		"postgresql",
		"/etc/postgresql/15/main/postgresql.conf"},
	{"mariadb", "mariadb-server", "mkdir -p /run/mysqld; chown mysql: /run/mysqld; exec mariadbd --user=mysql", "mariadb",
		"/etc/mysql/mariadb.conf.d/50-server.cnf"},
	{"debian", "openssh-server,git,curl,ca-certificates,openssl,cron,busybox-static", "mkdir -p /run/sshd; exec /usr/sbin/sshd -D", "sshd",
		"/etc/ssh/sshd_config"},
	{"busybox", "", "exec busybox sleep 100000", "", "/etc/app.conf"},
}

// call is one of an action in a root. Its answer is well when its code is "ok", or the one by which it is refused there.
type call struct {
	args    string
	in      string
	refused map[string]string // root → code; a root that is not there must do it
}

// but is the code of all roots but those that must do it.
func but(code string, able ...string) map[string]string {
	m := map[string]string{}
	for _, r := range roots {
		if !slices.Contains(able, r.name) {
			m[r.name] = code
		}
	}
	return m
}

// also is m with one more.
func also(m map[string]string, root, code string) map[string]string {
	m[root] = code
	return m
}

// calls are one or more of every action, in an order that leaves something to do for those behind.
func calls(site, pair, key string) []call {
	return []call{
		{"jem list", "", nil},
		{"host reach", "", also(but("unavailable"), "busybox", "not_found")}, // there is no host here
		{"health check --within 20", "", but("unavailable", "nginx", "apache", "postgresql", "mariadb", "debian")},
		{"service status", "", nil},
		{"service logs", "", but("unavailable")},
		{"service reload", "", but("conflict", "nginx", "haproxy", "apache", "php", "postgresql", "mariadb", "debian")},
		{"service start x", "", but("unavailable")},
		{"service stop x", "", but("unavailable")},
		{"service enable x", "", but("unavailable")},
		{"service disable x", "", but("unavailable")},
		{"config list", "", nil},
		{"config read CONF", "", nil},
		{"config write CONF", "SAME", nil},
		{"config restore CONF", "", nil},
		{"config write CONF", "BAD", but("invalid", "busybox")},
		{"config write CONF --reload", "SAME", map[string]string{"busybox": "invalid"}},
		{"setmem show", "", nil},
		{"setmem apply", "", but("unavailable", "nginx", "php", "postgresql", "mariadb")},
		{"setmem remove", "", nil},
		{"health check --within 20", "", but("unavailable", "nginx", "apache", "postgresql", "mariadb", "debian")},
		{"backup before", "", nil},
		{"backup after", "", nil},
		{"mount list", "", nil},
		{"mount add x", "", but("denied")},
		{"mount remove x", "", but("denied")},
		{"logs list", "", nil},
		{"logs read app.log", "", nil},
		{"logs rotate app.log", "", nil},
		{"logs empty app.log", "", nil},
		{"unpack archive /srv/x", site, nil},
		{"deploy archive shop", site, nil},
		{"deploy archive shop --reload SERVER", site, map[string]string{"busybox": "invalid"}},
		{"deploy git other file:///srv/mine", "", but("unavailable", "debian")},
		{"deploy git other ssh://git@127.0.0.1/srv/repo --key", key, but("unavailable", "debian")},
		{"deploy archive fetched --url https://localhost:4433/site.tar", "", but("unavailable", "debian")},
		{"deploy list", "", nil},
		{"deploy undo shop", "", map[string]string{"busybox": "not_found"}},
		{"deploy prune shop", "", nil},
		{"deploy remove shop", "", nil},
		{"env list", "", nil},
		{"env set A=b", "", but("unavailable")},
		{"env unset A", "", but("unavailable")},
		{"cron set job @daily root true", "", but("unavailable", "debian")},
		{"cron list", "", nil},
		{"cron remove job", "", but("not_found", "debian")},
		{"passwd list", "", nil},
		{"passwd add ann", "", map[string]string{"busybox": "unavailable"}},
		{"passwd set ann", "correct horse", map[string]string{"busybox": "unavailable"}},
		{"passwd lock ann", "", map[string]string{"busybox": "unavailable"}},
		{"passwd unlock ann", "", map[string]string{"busybox": "unavailable"}},
		{"passwd postgresql app", "correct horse", but("unavailable", "postgresql")},
		{"passwd mariadb app", "correct horse", but("unavailable", "mariadb")},
		{"keys add ann", "PUBLIC", nil},
		{"keys list ann", "", nil},
		{"keys remove ann FINGERPRINT", "", nil},
		{"ssl check", pair, nil},
		{"ssl install example.org", pair, nil},
		{"ssl list", "", nil},
		{"ssl remove example.org", "", nil},
		{"redeploy list", "", nil},
		{"redeploy pack", "", nil},
		{"redeploy unpack --file /var/lib/hardnode/jem/redeploy.tar", "", nil},
		{"service restart", "", map[string]string{"busybox": "conflict"}}, // the container ends with it
	}
}

// TestActions does every action in a root of every template, and in one that JEM does not know: each is done, or refused with a reason.
func TestActions(t *testing.T) {
	if os.Getenv("HARDNODE_SOAK") == "" {
		t.Skip("HARDNODE_SOAK is not set: `make soak PKG=./agent/jem` does it")
	}
	if os.Geteuid() != 0 {
		t.Skip("chroot and namespaces need root")
	}
	cache, err := filepath.Abs("../../out/cache/jem-roots")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(cache, 0o755); err != nil {
		t.Fatal(err)
	}
	jemAt := filepath.Join(t.TempDir(), "jem")
	must(t, nil, "go", "build", "-o", jemAt, ".")
	results := map[string]map[string]string{} // call → root → code
	var order []string
	for _, r := range roots {
		b := begin(t, cache, jemAt, r)
		if b == nil {
			continue
		}
		for _, c := range b.calls() {
			reply := b.call(c)
			want := jem.CodeOK
			if code, ok := c.refused[r.name]; ok {
				want = code
			}
			name := c.args
			if c.in == "BAD" {
				name += " (one it does not take)"
			}
			if results[name] == nil {
				results[name] = map[string]string{}
				order = append(order, name)
			}
			results[name][r.name] = reply.Code
			if reply.Code != want || reply.Message == "" && reply.Services == nil {
				t.Errorf("%s: %s: %s %q %q, want %s", r.name, name, reply.Code, reply.Message, reply.Said, want)
			}
		}
	}
	b := &strings.Builder{}
	fmt.Fprint(b, "| action |")
	for _, r := range roots {
		fmt.Fprintf(b, " %s |", r.name)
	}
	fmt.Fprintf(b, "\n|%s\n", strings.Repeat("---|", len(roots)+1))
	for _, name := range order {
		fmt.Fprintf(b, "| %s |", name)
		for _, r := range roots {
			fmt.Fprintf(b, " %s |", results[name][r.name])
		}
		b.WriteString("\n")
	}
	t.Logf("\n%s", b)
	listed := map[string]bool{}
	for _, m := range modules {
		for _, a := range m.Actions {
			name := m.Name + " " + a.Name
			listed[name] = slices.ContainsFunc(order, func(n string) bool { return strings.HasPrefix(n+" ", name+" ") })
		}
	}
	for action, tried := range listed {
		if !tried {
			t.Errorf("%s is not tried", action)
		}
	}
}

func must(t *testing.T, in []byte, argv ...string) string {
	t.Helper()
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Stdin = bytes.NewReader(in)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %v\n%s", argv, err, out)
	}
	return string(out)
}

// box is a root with its first process, in namespaces of its own.
type box struct {
	t    *testing.T
	root root
	pid  int // of the first process, as this machine has it
	ran  *exec.Cmd
	own  string // what the configuration says
}

// begin makes a root if need be, and starts it over an overlay. nil: it can't be made here.
func begin(t *testing.T, cache, jemAt string, r root) *box {
	t.Helper()
	lower := filepath.Join(cache, r.name)
	if _, err := os.Stat(lower); err != nil && r.packages != "" {
		part := lower + ".part"
		os.RemoveAll(part)
		cmd := exec.Command("mmdebstrap", "--quiet", "--variant=minbase", "--include="+r.packages, "bookworm", part)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("make root %s: %v\n%s", r.name, err, out)
			return nil
		}
		if err := os.Rename(part, lower); err != nil {
			t.Fatal(err)
		}
	} else if err != nil { // an image that JEM does not know: busybox and nothing else
		must(t, nil, "sh", "-ec", fmt.Sprintf(`mkdir -p %[1]s/bin %[1]s/etc %[1]s/var/log %[1]s/srv %[1]s/home %[1]s/root %[1]s/tmp
			cp %[2]s/debian/usr/bin/busybox %[1]s/bin/ || cp %[2]s/debian/bin/busybox %[1]s/bin/
			for a in sh mkdir cat; do ln -s busybox %[1]s/bin/$a; done; mkdir %[1]s/home/ann; chown 1000:1000 %[1]s/home/ann
			printf 'root:x:0:0::/root:/bin/sh\nann:x:1000:1000::/home/ann:/bin/sh\n' > %[1]s/etc/passwd; printf 'root:x:0:\n' > %[1]s/etc/group
			printf 'root:*:1:::::::\n' > %[1]s/etc/shadow; echo hello > %[1]s/etc/app.conf`, lower, cache))
	}
	dir := t.TempDir()
	script := fmt.Sprintf(`set -e
		mount --make-rprivate /; mount -t tmpfs t %[1]s; mkdir %[1]s/u %[1]s/w %[1]s/m
		mount -t overlay o -o lowerdir=%[2]s,upperdir=%[1]s/u,workdir=%[1]s/w %[1]s/m; cd %[1]s/m
		mkdir -p proc run dev sys; mount -t proc p proc; mount -t tmpfs t run; mount -t tmpfs t dev; mkdir dev/shm run/hardnode
		for d in null zero random urandom tty; do touch dev/$d; mount --bind /dev/$d dev/$d; done; ln -s /proc/self/fd dev/fd
		mount -t tmpfs t dev/shm; cp %[3]s run/hardnode/jem; ip link set lo up; echo app > var/log/app.log
		%[4]s
		exec chroot . /bin/sh -c "$FIRST"`, dir, lower, jemAt, prepare[r.name])
	b := &box{t: t, root: r, ran: exec.Command("unshare", "-m", "-p", "-n", "-f", "--kill-child", "sh", "-c", script)}
	b.ran.Env = []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "FIRST=" + r.first}
	log := &bytes.Buffer{}
	b.ran.Stdout, b.ran.Stderr = log, log
	if err := b.ran.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		unix.Kill(b.ran.Process.Pid, unix.SIGKILL)
		b.ran.Wait()
		if t.Failed() {
			t.Logf("%s: %.2000s", r.name, log)
		}
	})
	children := fmt.Sprintf("/proc/%[1]d/task/%[1]d/children", b.ran.Process.Pid)
	for end := time.Now().Add(time.Minute); ; time.Sleep(100 * time.Millisecond) {
		raw, _ := os.ReadFile(children)
		if b.pid, _ = strconv.Atoi(strings.TrimSpace(string(raw))); b.pid > 0 {
			comm, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", b.pid))
			if at, _ := os.Readlink(fmt.Sprintf("/proc/%d/root", b.pid)); strings.HasPrefix(at, dir) && string(comm) != "sh\n" &&
				string(comm) != "chroot\n" {
				break
			}
		}
		if time.Now().After(end) {
			t.Fatalf("%s does not start: %s", r.name, log)
		}
	}
	own, err := os.ReadFile(filepath.Join(lower, r.conf))
	if err != nil {
		t.Fatal(err)
	}
	b.own = string(own)
	return b
}

// prepare is what a root gets beside its packages, in a shell at its top.
var prepare = map[string]string{
	"debian": `chroot . sh -ec 'useradd -m git; mkdir -p /srv/repo /home/git/.ssh; cd /srv/repo; git init -q -b main; echo hello > index.html
		git add .; git -c user.name=a -c user.email=a@b commit -q -m one; cp -a /srv/repo /srv/mine; chown -R git: /srv/repo; chown -R www-data: /srv/mine
		ssh-keygen -q -t ed25519 -N "" -f /root/key; cp /root/key.pub /home/git/.ssh/authorized_keys; chown -R git: /home/git/.ssh
		cd /root; echo hello > index.html; tar cf site.tar index.html
		openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=localhost -addext subjectAltName=DNS:localhost \
			-keyout tls.key -out /usr/local/share/ca-certificates/own.crt 2>/dev/null; update-ca-certificates >/dev/null 2>&1
		echo "127.0.0.1 localhost" > /etc/hosts'
		chroot . sh -c 'cd /root; openssl s_server -quiet -accept 4433 -cert /usr/local/share/ca-certificates/own.crt -key tls.key -WWW' &`,
}

// in runs a program in the box.
func (b *box) in(in string, argv ...string) ([]byte, error) {
	cmd := exec.Command("nsenter", append([]string{"-t", strconv.Itoa(b.pid), "-m", "-p", "-n", "-r", "--wd=/"}, argv...)...)
	cmd.Env = []string{jem.ToldBy + "=" + jem.Told{Memory: 1 << 30, MilliCPU: 2000, DiskLimit: 4 << 30, DiskUsed: 1 << 20}.Encode()}
	cmd.Stdin = strings.NewReader(in)
	return cmd.Output()
}

// calls are those of this box, with what only it knows.
func (b *box) calls() []call {
	var site bytes.Buffer
	w := tar.NewWriter(&site)
	w.WriteHeader(&tar.Header{Name: "index.html", Mode: 0o644, Size: 5, Typeflag: tar.TypeReg})
	w.Write([]byte("hello"))
	w.Close()
	out, err := exec.Command("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj",
		"/CN=example.org", "-keyout", "-", "-out", "-").Output()
	if err != nil {
		b.t.Fatalf("openssl: %v", err)
	}
	key, _ := b.in("", "cat", "/root/key")
	return calls(site.String(), string(out), string(key))
}

// call is one, with the words that stand for something replaced.
func (b *box) call(c call) jem.Reply {
	b.t.Helper()
	const public = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHUn7bDqGjWcK6GGPnMgxkUqDpA1zD3V5kDFn2Hcd2gW ann\n"
	in := c.in
	switch in {
	case "SAME":
		in = b.own
	case "BAD":
		in = b.own + "\nthis is no { line of it\n"
	case "PUBLIC":
		in = public
	}
	fingerprint := ""
	if strings.Contains(c.args, "FINGERPRINT") {
		if r := b.call(call{args: "keys list ann"}); len(r.Items) > 0 {
			fingerprint = r.Items[0]["fingerprint"]
		}
	}
	server := b.root.server
	if server == "" {
		server = "none"
	}
	args := strings.NewReplacer("CONF", b.root.conf, "SERVER", server, "FINGERPRINT", fingerprint).Replace(c.args)
	out, err := b.in(in, append([]string{"/run/hardnode/jem"}, strings.Fields(args)...)...)
	var r jem.Reply
	if jerr := json.Unmarshal(out, &r); jerr != nil {
		b.t.Errorf("%s: %s: no answer: %v, %v", b.root.name, args, err, jerr)
	}
	return r
}
