//go:build qemu

package templates

import (
	"archive/tar"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/jem"
	"hardnode.dev/qemu-tests/harness"
)

// trial is an image in which every action of JEM is done.
type trial struct {
	name    string
	server  string   // as jem config calls it
	service string   // as a service manager calls it
	user    string   // whose keys are changed
	conf    string   // a file of the server's configuration
	env     []string // of its program
	first   string   // a shell's words that are its program, in place of the image's own
	ready   string   // a shell's words that say that it serves
	own     *own     // nil: it is one of the templates
}

// own is an image that is no template's: it is made of Debian's packages.
type own struct {
	packages string
	bare     bool // of nothing but these, and users
	profile  host.Profile
}

const asked = "grep -q ':%04X 0*:0000 0A ' /proc/net/tcp /proc/net/tcp6"

func listens(port int) string { return fmt.Sprintf(asked, port) }

var images = []trial{
	{name: "nginx", server: "nginx", conf: "/etc/nginx/nginx.conf", ready: listens(80)},
	{name: "nginx-bl", server: "nginx", conf: "/etc/nginx/nginx.conf", ready: listens(80)},
	{name: "haproxy", server: "haproxy", conf: "/etc/haproxy/haproxy.cfg", ready: listens(80)},
	{name: "php", server: "php-fpm", conf: "/etc/php/8.2/fpm/php-fpm.conf", ready: listens(80)},
	{name: "node", conf: "/etc/app.conf", ready: listens(8080)},
	{name: "python", conf: "/etc/app.conf", ready: listens(8080)},
	{name: "go", conf: "/etc/app.conf", ready: listens(8080)},
	{name: "postgresql", server: "postgresql", conf: "/etc/postgresql/postgresql.conf", ready: listens(5432)},
	{name: "mariadb", server: "mariadb", conf: "/etc/mysql/my.cnf", ready: listens(3306)},
	{name: "redis", server: "redis", conf: "/etc/redis/redis.conf", ready: listens(6379)},
	{name: "storage", server: "sshd", user: "storage", conf: "/etc/ssh/sshd_config", ready: listens(22)},
	{name: "debian", server: "sshd", conf: "/etc/ssh/sshd_config", ready: listens(22),
		first: "ssh-keygen -A; mkdir -p /run/sshd; exec /usr/sbin/sshd -D"},
	{name: "own apache", server: "apache", conf: "/etc/apache2/apache2.conf", ready: listens(80), own: &own{packages: "apache2"},
		first: ". /etc/apache2/envvars; mkdir -p /run/apache2 /run/lock; exec apache2 -DFOREGROUND"},
	{name: "own debian", server: "sshd", conf: "/etc/ssh/sshd_config", ready: listens(22) + " && " + listens(4433),
		own:   &own{packages: "openssh-server,git,curl,ca-certificates,openssl,cron"},
		first: prepare + "mkdir -p /run/sshd; exec /usr/sbin/sshd -D"},
	{name: "openrc", conf: "/etc/app.conf", first: "exec /sbin/init", ready: "test -e /run/openrc/softlevel && pidof cron",
		service: "cron", own: &own{packages: "openrc,sysvinit-core,cron,procps", profile: host.ProfileSystem}},
	{name: "sysvinit", conf: "/etc/app.conf", first: "exec /sbin/init", ready: "pidof cron",
		service: "cron", own: &own{packages: "sysvinit-core,cron,procps", profile: host.ProfileSystem}},
	{name: "busybox", user: "ann", conf: "/etc/app.conf", first: "exec busybox sleep 100000", ready: "grep -q ^busybox /proc/1/comm",
		own: &own{packages: "busybox-static", bare: true}},
}

// prepare is what an image that can fetch gets to fetch from, in a shell in it.
const prepare = `set -e; useradd -m git; mkdir -p /srv/repo /home/git/.ssh; cd /srv/repo; git init -q -b main; echo hello > index.html
	git add .; git -c user.name=a -c user.email=a@b commit -q -m one
	cp -a /srv/repo /srv/mine; chown -R git: /srv/repo; chown -R www-data: /srv/mine
	ssh-keygen -q -t ed25519 -N "" -f /root/key; cp /root/key.pub /home/git/.ssh/authorized_keys; chown -R git: /home/git/.ssh
	cd /root; echo hello > index.html; tar cf site.tar index.html
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=localhost -addext subjectAltName=DNS:localhost \
		-keyout tls.key -out /usr/local/share/ca-certificates/own.crt 2>/dev/null; update-ca-certificates >/dev/null 2>&1
	echo "127.0.0.1 localhost" > /etc/hosts
	openssl s_server -quiet -accept 4433 -cert /usr/local/share/ca-certificates/own.crt -key tls.key -WWW &
	`

// call is one of an action in a root. Its answer is well when its code is "ok", or the one by which it is refused there.
type call struct {
	args    string
	in      string
	refused map[string]string // root → code; a root that is not there must do it
}

// but is the code of all images but those that must do it.
func but(code string, able ...string) map[string]string {
	m := map[string]string{}
	for _, r := range images {
		if !slices.Contains(able, r.name) {
			m[r.name] = code
		}
	}
	return m
}

// The images that have something in common.
var (
	files   = []string{"nginx", "nginx-bl", "haproxy", "php", "node", "python", "go", "postgresql", "mariadb", "redis", "storage"}
	scripts = []string{"openrc", "sysvinit"}
	servers = []string{"nginx", "nginx-bl", "haproxy", "php", "postgresql", "mariadb", "redis", "storage", "debian", "own apache",
		"own debian"}
)

// in is a code of these images.
func in(code string, images ...string) map[string]string {
	m := map[string]string{}
	for _, i := range images {
		m[i] = code
	}
	return m
}

// and puts codes together; the last one of an image counts.
func and(all ...map[string]string) map[string]string {
	m := map[string]string{}
	for _, a := range all {
		maps.Copy(m, a)
	}
	return m
}

// calls are one or more of every action, in an order that leaves something to do for those behind.
func calls(site, pair, key string) []call {
	well := but("unavailable", append(files, "own apache", "own debian", "openrc")...) // debian's systemd is no PID 1 here
	users := in("unavailable", append(files, "busybox")...)
	return []call{
		{"jem list", "", nil},
		{"host reach", "", but("unavailable")}, // there is no host here
		{"health check --within 20", "", well},
		{"service status", "", nil},
		{"service logs", "", but("unavailable")},
		{"service reload ONE", "", and(but("conflict", servers...), in("conflict", "php", "redis"), in("ok", scripts...))},
		{"service stop SERVICE", "", but("unavailable", scripts...)},
		{"service start SERVICE", "", but("unavailable", scripts...)},
		{"service disable SERVICE", "", but("unavailable", scripts...)},
		{"service enable SERVICE", "", but("unavailable", scripts...)},
		{"service status SERVICE", "", but("not_found", scripts...)},
		{"config list", "", nil},
		{"config read CONF", "", nil},
		{"config write CONF", "SAME", nil},
		{"config restore CONF", "", nil},
		{"config write CONF", "BAD", and(in("invalid", servers...), in("ok", "redis"))},
		{"config write CONF --reload", "SAME", and(but("invalid", servers...), in("conflict", "redis"))},
		{"setmem show", "", nil},
		{"setmem apply", "", but("unavailable", "nginx", "nginx-bl", "php", "node", "postgresql", "mariadb")},
		{"setmem apply --resized", "", nil}, // after a resize, by the host; what comes of it is TestResized's
		{"setmem remove", "", nil},
		{"health check --within 20", "", well},
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
		{"deploy archive shop --reload SERVER", site, and(but("invalid", servers...), in("conflict", "redis"))},
		{"deploy git other file:///srv/mine", "", but("unavailable", "own debian")},
		{"deploy git other ssh://git@127.0.0.1/srv/repo --key", key, but("unavailable", "own debian")},
		{"deploy archive fetched --url https://localhost:4433/site.tar", "", but("unavailable", "own debian")},
		{"deploy list", "", nil},
		{"deploy undo shop", "", and(but("not_found", servers...), in("not_found", "redis"))},
		{"deploy prune shop", "", nil},
		{"deploy remove shop", "", nil},
		{"env list", "", nil},
		{"env set A=b", "", but("unavailable")},
		{"env unset A", "", but("unavailable")},
		{"cron set job @daily root true", "", but("unavailable", append(scripts, "debian", "own debian")...)},
		{"cron list", "", nil},
		{"cron remove job", "", but("not_found", append(scripts, "debian", "own debian")...)},
		{"passwd list", "", nil},
		{"passwd add ann", "", users},
		{"passwd set ann", "correct horse", users},
		{"passwd lock ann", "", users},
		{"passwd unlock ann", "", users},
		{"passwd postgresql app", "correct horse", but("unavailable", "postgresql")},
		{"passwd mariadb app", "correct horse", but("unavailable", "mariadb")},
		{"keys add USER", "PUBLIC", nil},
		{"keys list USER", "", nil},
		{"keys remove USER FINGERPRINT", "", nil},
		{"ssl check", pair, nil},
		{"ssl install example.org", pair, nil},
		{"ssl list", "", nil},
		{"ssl remove example.org", "", nil},
		{"redeploy list", "", nil},
		{"redeploy pack", "", nil},
		{"redeploy unpack --file /var/lib/hardnode/jem/redeploy.tar", "", nil},
		{"service restart ONE", "", in("conflict", "busybox")}, // an app container ends with it
	}
}

// TestActions does every action in every template's own image and in some that are none: each is done, or refused with a reason.
func TestActions(t *testing.T) {
	if os.Getenv("HARDNODE_SOAK") == "" {
		t.Skip("HARDNODE_SOAK is not set: `make soak PKG=./qemu-tests/templates RUN=TestActions` does it")
	}
	root, err := harness.Root()
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, i := range images {
		if i.own == nil {
			names = append(names, i.name)
		}
	}
	layouts := build(t, names...)
	cache := cached(t, root)
	program := buildJEM(t, root)
	table := table{of: map[string]map[string]string{}}
	for _, i := range images {
		t.Run(i.name, func(t *testing.T) { table.fill(t, i, layouts, cache, program) })
	}
	t.Logf("\n%s", &table)
	for _, a := range table.listed {
		if !slices.ContainsFunc(table.rows, func(n string) bool { return strings.HasPrefix(n+" ", a+" ") }) {
			t.Errorf("%s is not tried", a)
		}
	}
}

// cached is where the roots are that were made of packages.
func cached(t *testing.T, root string) string {
	t.Helper()
	dir := filepath.Join(root, "out/cache/jem-roots")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// buildJEM is JEM's program.
func buildJEM(t *testing.T, root string) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "jem")
	cmd := exec.Command("go", "build", "-o", program, "./agent/jem")
	cmd.Dir, cmd.Env = root, append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build jem: %v\n%s", err, out)
	}
	return program
}

// putJEM puts the program into a box.
func (b *box) putJEM(program string) {
	b.Helper()
	raw, err := os.ReadFile(program)
	if err != nil {
		b.Fatal(err)
	}
	b.put("/usr/lib/jem", string(raw), 0o755)
}

// table is what became of each call in each image.
type table struct {
	rows   []string
	of     map[string]map[string]string // call → image → code
	listed []string                     // the actions that there are
}

func (a *table) String() string {
	b := &strings.Builder{}
	fmt.Fprint(b, "| action |")
	for _, i := range images {
		fmt.Fprintf(b, " %s |", i.name)
	}
	fmt.Fprintf(b, "\n|%s\n", strings.Repeat("---|", len(images)+1))
	for _, name := range a.rows {
		fmt.Fprintf(b, "| %s |", name)
		for _, i := range images {
			fmt.Fprintf(b, " %s |", a.of[name][i.name])
		}
		b.WriteString("\n")
	}
	return b.String()
}

// fill does every call in one image.
func (a *table) fill(t *testing.T, i trial, layouts, cache, program string) {
	var b *box
	if i.own == nil {
		b = newBox(t, layouts, i.name)
	} else {
		b = ownBox(t, cache, i)
	}
	b.putJEM(program)
	b.put("/var/log/app.log", "app\n", 0o644)
	os.Remove(filepath.Join(b.root, "etc/resolv.conf")) // that of where the image was made
	b.put("/etc/resolv.conf", "nameserver 127.0.0.1\n", 0o644)
	b.put("/etc/hosts", "127.0.0.1 localhost\n", 0o644)
	if i.server == "" {
		b.put(i.conf, "hello\n", 0o644)
	}
	if i.first != "" {
		b.config.Entrypoint, b.config.Cmd, b.user = []string{"/bin/sh", "-c", i.first}, nil, "0:0"
		b.config.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin"}
	}
	b.start(i.env...)
	b.until("it serves", func() bool {
		_, err := b.saysAs("0:0", "/bin/sh", "-c", i.ready)
		return err == nil
	}, func() string { return "" })
	conf, err := os.ReadFile(filepath.Join(b.root, i.conf))
	if err != nil {
		t.Fatal(err)
	}
	w := within{box: b, trial: i, text: string(conf)}
	for _, c := range w.calls() {
		reply := w.call(c)
		want := jem.CodeOK
		if code, ok := c.refused[i.name]; ok {
			want = code
		}
		name := c.args
		if c.in == "BAD" {
			name += " (one it does not take)"
		}
		if a.of[name] == nil {
			a.of[name] = map[string]string{}
			a.rows = append(a.rows, name)
		}
		a.of[name][i.name] = reply.Code
		if reply.Code != want || reply.Message == "" && reply.Services == nil {
			t.Errorf("%s: %s %q %q, want %s", name, reply.Code, reply.Message, reply.Said, want)
		}
		if name == "jem list" {
			a.listed = nil
			for _, r := range reply.Items {
				a.listed = append(a.listed, r["module"]+" "+r["action"])
			}
		}
	}
}

// ownBox is an image of Debian's packages, made once.
func ownBox(t *testing.T, cache string, i trial) *box {
	t.Helper()
	at := filepath.Join(cache, i.name+".tar")
	if _, err := os.Stat(at); err != nil {
		variant := map[bool]string{true: "extract", false: "minbase"}[i.own.bare]
		out, err := exec.CommandContext(t.Context(), "mmdebstrap", "--quiet", "--variant="+variant, "--include="+i.own.packages, "bookworm",
			at+".part.tar").CombinedOutput()
		if err == nil {
			err = os.Rename(at+".part.tar", at)
		}
		if err != nil {
			t.Fatalf("make image %s: %v\n%s", i.name, err, out)
		}
	}
	f, err := os.Open(at)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	b := &box{T: t, name: i.name, profile: i.own.profile, config: v1.Config{}}
	b.made(func() error { return b.entries(f) })
	if i.own.bare {
		for _, applet := range []string{"sh", "mkdir", "cat", "sleep", "grep"} {
			if err := os.Symlink("busybox", filepath.Join(b.root, "bin", applet)); err != nil {
				t.Fatal(err)
			}
		}
		b.put("/etc/passwd", "root:x:0:0::/root:/bin/sh\nann:x:1000:1000::/home/ann:/bin/sh\n", 0o644)
		b.put("/etc/group", "root:x:0:\n", 0o644)
		b.put("/etc/shadow", "root:*:1:::::::\n", 0o600)
		b.put("/root/.profile", "\n", 0o600)
		b.put("/home/ann/.profile", "\n", 0o600)
		for _, at := range []string{"home/ann", "home/ann/.profile"} {
			if err := os.Chown(filepath.Join(b.root, at), b.ids+1000, b.ids+1000); err != nil {
				t.Fatal(err)
			}
		}
	}
	return b
}

// within is a box in which JEM is called.
type within struct {
	*box
	trial
	text string // what the configuration says
}

// calls are those of this box, with what only it knows.
func (b *within) calls() []call {
	var site bytes.Buffer
	w := tar.NewWriter(&site)
	w.WriteHeader(&tar.Header{Name: "index.html", Mode: 0o644, Size: 5, Typeflag: tar.TypeReg})
	w.Write([]byte("hello"))
	w.Close()
	out, err := exec.Command("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj",
		"/CN=example.org", "-keyout", "-", "-out", "-").Output()
	if err != nil {
		b.Fatalf("openssl: %v", err)
	}
	key, _ := os.ReadFile(filepath.Join(b.root, "root/key"))
	return calls(site.String(), string(out), string(key))
}

// call is one, with the words that stand for something replaced.
func (b *within) call(c call) jem.Reply {
	b.Helper()
	const public = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHUn7bDqGjWcK6GGPnMgxkUqDpA1zD3V5kDFn2Hcd2gW ann\n"
	in := c.in
	switch in {
	case "SAME":
		in = b.text
	case "BAD":
		in = b.text + "\nthis is no { line of it\n"
	case "PUBLIC":
		in = public
	}
	fingerprint := ""
	if strings.Contains(c.args, "FINGERPRINT") {
		if r := b.call(call{args: "keys list USER"}); len(r.Items) > 0 {
			fingerprint = r.Items[0]["fingerprint"]
		}
	}
	args := strings.NewReplacer("CONF", b.conf, "SERVER", cmp.Or(b.server, "none"), "SERVICE",
		cmp.Or(b.service, "x"), "ONE", b.service, "USER", cmp.Or(b.trial.user, "root"), "FINGERPRINT", fingerprint).Replace(c.args)
	ctx, cancel := context.WithTimeout(b.Context(), 2*time.Minute)
	defer cancel()
	told := jem.Told{Memory: 1 << 30, MilliCPU: 2000, DiskLimit: 4 << 30, DiskUsed: 1 << 20}
	cmd := b.command(ctx, "0:0", []string{jem.ToldBy + "=" + told.Encode()}, append([]string{"/usr/lib/jem"}, strings.Fields(args)...)...)
	cmd.Stdin = strings.NewReader(in)
	out, err := cmd.Output()
	var r jem.Reply
	if jerr := json.Unmarshal(out, &r); jerr != nil {
		b.Errorf("%s: no answer: %v, %v", args, err, jerr)
	}
	return r
}
