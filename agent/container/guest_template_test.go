//go:build guest

package container

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"hardnode.dev/internal/run"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/jem"
)

// TestDebianTemplate boots the template debian as its owner has it, and looks after it from outside: by a client of SSH with a key that JEM
// let in, and by JEM. What is set is there after a reboot.
func TestDebianTemplate(t *testing.T) {
	if _, err := os.Stat("/images/debian.erofs"); err != nil {
		t.Skip("the guest has no image of the template debian: qemu-tests/system TestDebianTemplate makes it")
	}
	spawnerUp(t)
	r := newRuntime(t)
	hints, stop := context.WithCancel(context.Background())
	defer stop()
	go r.Run(hints)
	d := debian{T: t, r: r}
	s := box(t, 803, "")
	s.ImagePath, s.Image.Digest = image(t, "debian")
	s.Profile = host.ProfileSystem
	if err := json.Unmarshal([]byte(os.Getenv("HARDNODE_TEMPLATE")), &s.Process); err != nil {
		t.Fatal(err)
	}
	s.Limits = host.Limits{MemoryMax: 512 << 20, PIDs: 512, DiskBytes: 512 << 20}
	d.boot(s)
	id, _ := sh(t, r, 803, "cat /etc/machine-id")
	key := d.key("mine")
	d.letsIn(key)
	d.variables(func() {
		tell(t, r, 803, "systemctl reboot")
		if o := waitEnd(t, r, 803); o.Left != LeftReboot {
			t.Errorf("after a reboot from inside: left by %q, code %d", o.Left, o.ExitCode)
		}
		d.boot(s)
	})
	if again, _ := sh(t, r, 803, "cat /etc/machine-id"); again != id {
		t.Errorf("the machine was %q and is %q", id, again)
	}
	if got, err := d.ssh(key, "id -u"); got != "0" { // its key is the one that the client knows
		t.Errorf("by ssh after the reboot: %q, %v", got, err)
	}
	d.jobs()
	d.people()
	d.certificates()
	d.configuration(key)
	d.files()
	d.rest()
	d.letsOut(key)
	began := time.Now()
	if err := r.Stop(deadline(t), 803); err != nil {
		t.Fatal(err)
	}
	t.Logf("an orderly stop took %s", time.Since(began).Round(100*time.Millisecond))
	if o := waitState(t, r, 803, StateStopped); o.PID != 0 {
		t.Errorf("observed %+v", o)
	}
}

// debian is the container, 803.
type debian struct {
	*testing.T
	r   *Runtime
	pid int // of its first process
}

// boot starts it, until all that it starts has started.
func (d *debian) boot(s StartSpec) {
	d.Helper()
	began := time.Now()
	d.pid = mustStart(d.T, d.r, s).PID
	becomesReady(d.T, d.r, 803)
	ready := time.Since(began)
	state, _ := sh(d.T, d.r, 803, "systemctl is-system-running --wait")
	d.Logf("ready after %s, %s after %s", ready.Round(100*time.Millisecond), state, time.Since(began).Round(100*time.Millisecond))
	if state != "running" {
		why, _ := sh(d.T, d.r, 803, "systemctl --failed --no-legend --plain; journalctl -q --no-pager -p warning | tail -n 30")
		d.Errorf("the system is %s: %s", state, why)
	}
}

// jem calls JEM, and checks its answer's code.
func (d *debian) jem(want, words, in string) jem.Reply {
	d.Helper()
	f := strings.Split(words, " ")
	for i := range f {
		f[i] = strings.ReplaceAll(f[i], "~", " ") // a blank in an argument
	}
	req := host.JEMRequest{Module: f[0], Action: f[1], Args: f[2:]}
	reply, _ := callJEMWith(d.T, d.r, 803, d.r.Told(deadline(d.T), 803), req, in)
	d.Logf("jem %s: %s, %s", words, reply.Code, reply.Message)
	if reply.Code != want {
		d.Errorf("jem %s: %s %q %q, want %s", words, reply.Code, reply.Message, reply.Said, want)
	}
	return reply
}

// says runs a script inside that must write this.
func (d *debian) says(script, want string) {
	d.Helper()
	if got, code := sh(d.T, d.r, 803, script); got != want {
		d.Errorf("%s: %q with code %d, want %q", script, got, code, want)
	}
}

// key makes a key for SSH.
func (d *debian) key(name string) (path string) {
	d.Helper()
	path = filepath.Join(d.TempDir(), name)
	if out, err := exec.Command("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", path).CombinedOutput(); err != nil {
		d.Fatalf("ssh-keygen: %v: %s", err, out)
	}
	return path
}

// ssh runs a command as the container's root, by a client that knows one container and no other. It is in the container's network, for
// these have no other.
func (d *debian) ssh(key, command string) (string, error) {
	d.Helper()
	ns, err := os.Open(fmt.Sprintf("/proc/%d/ns/net", d.pid))
	if err != nil {
		return "", err
	}
	defer ns.Close()
	ctx, cancel := context.WithTimeout(d.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "ssh", "-i", key, "-o", "IdentitiesOnly=yes", "-o", "BatchMode=yes", "-o", "LogLevel=ERROR",
		"-o", "StrictHostKeyChecking=accept-new", "-o", "UserKnownHostsFile=/tmp/known", "root@127.0.0.1", command)
	var out []byte
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // for good: the thread ends with its network
		err := unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET)
		if err == nil {
			out, err = cmd.CombinedOutput()
		}
		done <- err
	}()
	err = <-done
	return strings.TrimSpace(string(out)), err
}

// letsIn: who has a key that JEM let in gets in, and nobody else.
func (d *debian) letsIn(key string) {
	d.Helper()
	public, err := os.ReadFile(key + ".pub")
	if err != nil {
		d.Fatal(err)
	}
	if got, err := d.ssh(key, "id -u"); err == nil || !strings.Contains(got, "Permission denied (publickey)") {
		d.Errorf("by ssh with no key let in: %q, %v", got, err)
	}
	d.jem("ok", "keys add root", string(public))
	if got, err := d.ssh(key, "id -u; hostname; test -t 0 || echo no terminal"); got != "0\nnode803\nno terminal" || err != nil {
		d.Errorf("by ssh: %q, %v", got, err)
	}
	if got, err := d.ssh(d.key("other"), "id -u"); err == nil || !strings.Contains(got, "Permission denied (publickey)") {
		d.Errorf("by ssh with another key: %q, %v", got, err)
	}
	if got, _ := d.ssh(key, "loginctl list-sessions --no-legend | grep -c root"); got != "1" {
		d.Errorf("sessions of root while there is one: %q", got)
	}
}

func (d *debian) letsOut(key string) {
	d.Helper()
	list := d.jem("ok", "keys list root", "")
	if len(list.Items) != 1 {
		d.Fatalf("keys of root: %+v", list.Items)
	}
	d.jem("ok", "keys remove root "+list.Items[0]["fingerprint"], "")
	if got, err := d.ssh(key, "id -u"); err == nil {
		d.Errorf("by ssh with a key that was taken away: %q", got)
	}
}

// variables: a service has what is set when it starts next, after a reboot too, and no more of it once it is unset.
func (d *debian) variables(reboot func()) {
	d.Helper()
	if out, code := sh(d.T, d.r, 803, `printf '[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/sh -c '"'"'echo "$GREETING/$OTHER" `+
		`> /run/greeting'"'"'\n[Install]\nWantedBy=multi-user.target\n' > /etc/systemd/system/greet.service && systemctl daemon-reload`); code != 0 {
		d.Fatalf("make a unit: %s", out)
	}
	greets := func(want string) {
		d.Helper()
		d.jem("ok", "service restart greet", "")
		d.says("cat /run/greeting", want)
	}
	d.jem("ok", "service enable greet", "")
	greets("/")
	d.jem("ok", "env set GREETING=hello OTHER=1", "")
	greets("hello/1")
	d.jem("ok", `env set GREETING=it's~100%~"one"~of~$OTHER`, "")
	greets(`it's 100% "one" of $OTHER/1`)
	reboot()
	d.says("cat /run/greeting", `it's 100% "one" of $OTHER/1`)
	list := d.jem("ok", "env list", "")
	if !strings.Contains(fmt.Sprint(list.Items), `GREETING`) {
		d.Errorf("env list: %v", list.Items)
	}
	d.jem("ok", "env unset OTHER", "")
	greets(`it's 100% "one" of $OTHER/`)
	d.jem("ok", "env set OTHER=2 GREETING=bye", "")
	greets("bye/2")
	d.jem("ok", "env unset OTHER GREETING", "")
	greets("/")
	d.jem("not_found", "env unset OTHER", "")
	if state, _ := sh(d.T, d.r, 803, "systemctl is-system-running"); state != "running" {
		d.Errorf("the system is %s", state)
	}
}

// jobs: cron does what it is told, by the minute.
func (d *debian) jobs() {
	d.Helper()
	d.jem("ok", "cron set job *~*~*~*~* root echo~100% done > /run/job", "")
	d.jem("ok", "cron list", "")
	began := time.Now()
	for got := ""; got != "100% done"; got, _ = sh(d.T, d.r, 803, "cat /run/job 2>/dev/null") {
		if time.Since(began) > 3*time.Minute {
			why, _ := sh(d.T, d.r, 803, "cat /etc/cron.d/jem-job; journalctl -q --no-pager -u cron | tail -n 20")
			d.Errorf("no job was done in %s: %q\n%s", time.Since(began), got, why)
			break
		}
		run.Wait(d.Context(), 500*time.Millisecond)
	}
	d.jem("ok", "cron remove job", "")
	d.jem("not_found", "cron remove job", "")
}

// people: users and their passwords, as the container's own programs see them.
func (d *debian) people() {
	d.Helper()
	d.jem("ok", "passwd add ann", "")
	d.says("passwd -S ann | cut -d' ' -f1-2; stat -c %U /home/ann", "ann L\nann")
	d.jem("ok", "passwd set ann", "correct horse\n")
	d.says("passwd -S ann | cut -d' ' -f2", "P")
	d.jem("ok", "passwd lock ann", "")
	d.says("passwd -S ann | cut -d' ' -f2", "L")
	d.jem("ok", "passwd unlock ann", "")
	d.says("passwd -S ann | cut -d' ' -f2", "P")
	d.jem("ok", "passwd list", "")
	d.jem("unavailable", "passwd postgresql app", "correct horse")
}

// certificates: one that fits its key is put in place, where root alone reads the key.
func (d *debian) certificates() {
	d.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		d.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "example.org"}, DNSNames: []string{"example.org"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(90 * 24 * time.Hour), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, c, c, k.Public(), k)
	if err != nil {
		d.Fatal(err)
	}
	raw, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		d.Fatal(err)
	}
	pair := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})) +
		string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw}))
	d.jem("ok", "ssl check", pair)
	d.jem("invalid", "ssl check", pair[:len(pair)/2])
	d.jem("ok", "ssl install example.org", pair)
	d.jem("ok", "ssl list", "")
	d.jem("ok", "ssl remove example.org", "")
}

// configuration: sshd takes what is written, and never gets what it refuses.
func (d *debian) configuration(key string) {
	d.Helper()
	const at = "/etc/ssh/sshd_config"
	d.jem("ok", "config list", "")
	before, _ := sh(d.T, d.r, 803, "cat "+at)
	d.jem("ok", "config read "+at, "")
	d.jem("ok", "config write "+at+" --reload", before+"\nBanner /etc/hostname\n")
	banner := func(want bool) {
		d.Helper()
		soon(d.T, fmt.Sprintf("sshd shows its banner: %t", want), func() bool { // it reads its file again by itself, after the signal
			got, err := d.ssh(key, "sshd -T | grep ^banner")
			return err == nil && strings.Contains(got, "banner /etc/hostname") == want
		})
	}
	banner(true)
	d.jem("invalid", "config write "+at+" --reload", before+"\nthis is no { line of it\n")
	banner(true)
	d.jem("ok", "config restore "+at+" --reload", "")
	banner(false)
}

// files: logs, archives and releases.
func (d *debian) files() {
	d.Helper()
	d.says("echo one > /var/log/app.log", "")
	d.jem("ok", "logs list", "")
	if reply := d.jem("ok", "logs read app.log", ""); reply.Text != "one\n" {
		d.Errorf("logs read: %+v", reply)
	}
	d.jem("ok", "logs rotate app.log", "")
	d.says("cat /var/log/app.log.1; stat -c %s /var/log/app.log", "one\n0")
	d.jem("ok", "logs empty app.log.1", "")
	d.jem("ok", "service logs ssh --tail 5", "")
	site := func(text string) string {
		var b bytes.Buffer
		w := tar.NewWriter(&b)
		w.WriteHeader(&tar.Header{Name: "index.html", Mode: 0o644, Size: int64(len(text)), Typeflag: tar.TypeReg})
		w.Write([]byte(text))
		w.Close()
		return b.String()
	}
	d.jem("ok", "unpack archive /srv/x", site("unpacked\n"))
	d.says("cat /srv/x/index.html", "unpacked")
	d.jem("ok", "deploy archive shop", site("first\n"))
	d.says("cat /var/www/shop/index.html", "first")
	d.jem("ok", "deploy archive shop --owner ann", site("second\n"))
	d.says("cat /var/www/shop/index.html; stat -L -c %U /var/www/shop/index.html", "second\nann")
	d.jem("ok", "deploy undo shop", "")
	d.says("cat /var/www/shop/index.html", "first")
	d.jem("unavailable", "deploy git other https://127.0.0.1/repo.git", "")
	d.jem("ok", "deploy list", "")
	d.jem("ok", "deploy prune shop", "")
	d.jem("ok", "deploy remove shop", "")
	d.says("ls -A /var/www | grep -v ^.jem$", "")
}

// rest are the other actions.
func (d *debian) rest() {
	d.Helper()
	for _, c := range [][2]string{{"ok", "service status"}, {"ok", "service status ssh"}, {"ok", "service reload ssh"},
		{"ok", "service restart ssh"}, {"ok", "service stop cron"}, {"ok", "service start cron"}, {"ok", "service disable cron"},
		{"ok", "service enable cron"}, {"ok", "health check --within 20"}, {"ok", "mount list"}, {"denied", "mount add x"},
		{"ok", "backup before"}, {"ok", "backup after"}, {"ok", "redeploy list"}, {"ok", "redeploy pack"},
		{"ok", "redeploy unpack --file /var/lib/hardnode/jem/redeploy.tar"}, {"unavailable", "setmem apply"},
		{"ok", "setmem apply --resized"}, {"ok", "setmem show"}, {"ok", "jem list"}} {
		d.jem(c[0], c[1], "")
	}
}

// waitEnd waits until a container has ended itself; a full OS that is emulated stops its services for a while.
func waitEnd(t *testing.T, r *Runtime, id wire.CTID) Observed {
	t.Helper()
	for began := time.Now(); time.Since(began) < 2*time.Minute; run.Wait(context.Background(), 100*time.Millisecond) {
		all, err := r.Observe(deadline(t))
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range all {
			if o.CTID == id && o.State == StateExited {
				return o
			}
		}
	}
	why, _ := sh(t, r, id, "ps ax")
	t.Fatalf("it did not end in 2 m\n%s", why)
	return Observed{}
}
