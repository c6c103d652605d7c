package sign_test

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata/config"
	"github.com/theupdateframework/go-tuf/v2/metadata/updater"

	"hardnode.dev/image/sign"
	"hardnode.dev/image/uki"
	"hardnode.dev/internal/release/authenticode"
	"hardnode.dev/internal/release/block"
	"hardnode.dev/internal/release/issue/folder"
	"hardnode.dev/internal/release/issue/keyfile"
	"hardnode.dev/internal/release/issue/secureboot"
	"hardnode.dev/internal/release/trust"
	"hardnode.dev/internal/testkit/program"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/release"
)

// owner is a person with three sticks and a folder of online keys.
type owner struct {
	t        *testing.T
	dir      string
	sticks   [3]string
	targets  string
	online   string
	repo     string
	password string
}

func newOwner(t *testing.T) *owner {
	t.Helper()
	was := keyfile.Work
	keyfile.Work = 10 // the real one takes seconds a key
	t.Cleanup(func() { keyfile.Work = was })
	o := &owner{t: t, dir: t.TempDir()}
	at := func(name string) string { return filepath.Join(o.dir, name) }
	o.sticks, o.targets, o.online, o.repo, o.password = [3]string{at("stick-1"), at("stick-2"), at("stick-3")}, at("targets"), at("online"),
		at("repo"), at("passphrase")
	if err := os.WriteFile(o.password, []byte("correct horse\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for i, s := range o.sticks {
		o.run("keys", "--dir", s, fmt.Sprintf("root-%d", i+1))
	}
	o.run("keys", "--dir", o.targets, "targets")
	o.run("keys", "--dir", o.online, "snapshot", "timestamp")
	return o
}

func (o *owner) public() string { return strings.Join(append(o.sticks[:], o.targets, o.online), ",") }

func (o *owner) try(args ...string) (out string, err error) {
	o.t.Helper()
	c := sign.Command()
	if args[0] != "show" {
		args = append(args, "--passphrase-file", o.password)
	}
	c.SetArgs(args)
	var b bytes.Buffer
	c.SetOut(&b)
	c.SetErr(&b)
	err = c.Execute()
	return b.String(), err
}

func (o *owner) run(args ...string) string {
	o.t.Helper()
	out, err := o.try(args...)
	if err != nil {
		o.t.Fatalf("image release %s: %v", strings.Join(args, " "), err)
	}
	return out
}

func (o *owner) fails(want string, args ...string) {
	o.t.Helper()
	_, err := o.try(args...)
	if err == nil || !strings.Contains(err.Error(), want) {
		o.t.Errorf("image release %s: got %v, want an error that says %q", strings.Join(args, " "), err, want)
		return
	}
	o.t.Logf("image release %s: %v", args[0], err)
}

// release writes the folder of a release as `make release` does.
func (o *owner) release(version string, files map[string]string) string {
	o.t.Helper()
	dir := filepath.Join(o.dir, "out", version)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		o.t.Fatal(err)
	}
	m := release.Manifest{Version: 1, Release: release.Version(version), Channel: release.Stable, Severity: release.High,
		Arch: release.Arch}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
			o.t.Fatal(err)
		}
		m.Artefacts = append(m.Artefacts, release.Artefact{Name: name, Kind: release.UKI, Bytes: int64(len(content)),
			Digest: wire.Digest(fmt.Sprintf("sha256:%x", sha256.Sum256([]byte(content))))})
	}
	raw, err := m.Encode()
	if err != nil {
		o.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, release.ManifestFile), raw, 0o644); err != nil {
		o.t.Fatal(err)
	}
	return dir
}

func (o *owner) look(kept trust.Kept) (trust.Repo, trust.Kept) {
	o.t.Helper()
	d := folder.Dir(o.repo)
	pin, err := d.Pin()
	if err != nil {
		o.t.Fatal(err)
	}
	r, kept, err := trust.Refresh(o.t.Context(), d.Source(), trust.Anchor{Name: trust.Image, Pin: pin}, kept, time.Now())
	if err != nil {
		o.t.Fatal(err)
	}
	return r, kept
}

// TestRepository is an owner's life with a repository, from the first keys to a revoked release, and a host that looks at it each time.
func TestRepository(t *testing.T) {
	o := newOwner(t)
	o.fails("2 of the root keys", "init", "--repo", o.repo, "--public", o.public(), "--keys", o.sticks[0])
	pin := o.run("init", "--repo", o.repo, "--public", o.public(), "--keys", o.sticks[0]+","+o.sticks[2])
	if !strings.Contains(pin, "sha256:") {
		t.Errorf("init prints no pin: %q", pin)
	}
	o.fails("root 1 already", "init", "--repo", o.repo, "--public", o.public())
	big := strings.Repeat("a machine's image ", 100_000)
	first := o.release("1.0.0", map[string]string{"vm-host.efi": big})
	o.fails("no targets key", "sign", "--repo", o.repo, "--keys", o.online, first)
	if out := o.run("sign", "--repo", o.repo, "--keys", o.targets, first); !strings.Contains(out, "not in force yet") {
		t.Errorf("signed offline: %q", out)
	}
	o.run("timestamp", "--repo", o.repo, "--keys", o.online)
	r, kept := o.look(trust.Kept{})
	efi := r.Targets["1.0.0/vm-host.efi"]
	if len(r.Targets) != 3 || efi.Custom.Release != "1.0.0" || efi.Custom.Arch != release.Arch || efi.Custom.Severity != "high" {
		t.Errorf("after 1.0.0: %+v", r.Targets)
	}
	raw, err := os.ReadFile(folder.Dir(o.repo).Path(r.Targets[efi.Custom.Index]))
	if err != nil {
		t.Fatal(err)
	}
	if x, err := block.Decode(raw); err != nil || x.Length != efi.Length {
		t.Errorf("its block index: %d bytes, want %d: %v", x.Length, efi.Length, err)
	}
	if left := r.Expires.Sub(time.Now()); left > 7*24*time.Hour || left < 6*24*time.Hour {
		t.Errorf("it is good for %s, want 7 days", left)
	}
	o.run("sign", "--repo", o.repo, "--keys", o.targets+","+o.online, o.release("1.1.0", map[string]string{"vm-host.efi": "two"}))
	if r, kept = o.look(kept); len(r.Targets) != 5 {
		t.Errorf("after 1.1.0: %+v", r.Targets)
	}
	o.run("timestamp", "--repo", o.repo, "--keys", o.online, "--closed")
	if r, kept = o.look(kept); time.Until(r.Expires) < 179*24*time.Hour {
		t.Errorf("for a closed site it is good until %s", r.Expires)
	}
	o.run("drop", "--repo", o.repo, "--keys", o.targets+","+o.online, "1.0.0")
	if r, _ = o.look(kept); len(r.Targets) != 2 {
		t.Errorf("after 1.0.0 was revoked: %+v", r.Targets)
	}
	if out := o.run("show", "--repo", o.repo); !strings.Contains(out, "1.1.0/vm-host.efi") || !strings.Contains(out, "targets 3") {
		t.Errorf("show: %s", out)
	}
	o.fails("does not name it", "drop", "--repo", o.repo, "--keys", o.targets, "7.0.0")
}

// TestRotation: the timestamp key was stolen and one root stick lost; two other sticks make the next root, and hosts follow.
func TestRotation(t *testing.T) {
	o := newOwner(t)
	o.run("init", "--repo", o.repo, "--public", o.public(), "--keys", o.sticks[0]+","+o.sticks[1])
	o.run("sign", "--repo", o.repo, "--keys", o.targets+","+o.online, o.release("1.0.0", map[string]string{"a.efi": "one"}))
	_, kept := o.look(trust.Kept{})
	stolen := o.online
	o.sticks[0], o.online = filepath.Join(o.dir, "stick-4"), filepath.Join(o.dir, "online-2")
	o.run("keys", "--dir", o.sticks[0], "root-4")
	o.run("keys", "--dir", o.online, "snapshot-2", "timestamp-2")
	o.fails("2 of the root keys that root 1 names", "rotate", "--repo", o.repo, "--public", o.public(), "--keys",
		o.sticks[0]+","+o.sticks[1])
	o.run("rotate", "--repo", o.repo, "--public", o.public(), "--keys", o.sticks[1]+","+o.sticks[2])
	o.fails("no snapshot key that the repository's root names", "timestamp", "--repo", o.repo, "--keys", stolen)
	o.run("timestamp", "--repo", o.repo, "--keys", o.online)
	if r, _ := o.look(kept); r.Versions.Root != 2 || len(r.Targets) != 2 {
		t.Errorf("after the rotation: %+v", r)
	}
}

// TestSealed: with the keys of secure boot at hand the repository's copy of a release has sealed systems, and the release's folder stays.
func TestSealed(t *testing.T) {
	o := newOwner(t)
	o.run("init", "--repo", o.repo, "--public", o.public())
	keys := filepath.Join(o.dir, "secure-boot")
	if out := o.run("secure-boot", "--dir", keys); !strings.Contains(out, "PK, KEK, db in "+keys) {
		t.Errorf("secure-boot: %q", out)
	}
	o.fails("never replaced", "secure-boot", "--dir", keys)
	system, err := uki.Build(program.EFI(), uki.Section{Name: uki.Kernel, Data: []byte("kernel")},
		uki.Section{Name: uki.Loader, Data: program.EFI()})
	if err != nil {
		t.Fatal(err)
	}
	dir := o.release("1.0.0", map[string]string{"vm-host.efi": string(system)})
	all := o.targets + "," + o.online
	o.fails("bring the folder", "sign", "--repo", o.repo, "--keys", all, "--secure-boot", t.TempDir(), dir)
	o.run("sign", "--repo", o.repo, "--keys", all, "--secure-boot", keys, dir)
	r, _ := o.look(trust.Kept{})
	raw, err := os.ReadFile(folder.Dir(o.repo).Path(r.Targets["1.0.0/vm-host.efi"]))
	if err != nil {
		t.Fatal(err)
	}
	db, err := secureboot.Certificate(filepath.Join(keys, "db.crt"))
	if err != nil {
		t.Fatal(err)
	}
	believed := authenticode.Believed{Certificates: []*x509.Certificate{db}}
	if err := authenticode.Check(bytes.NewReader(raw), int64(len(raw)), believed); err != nil {
		t.Errorf("the repository's system: %v", err)
	}
	sections, err := uki.Sections(raw)
	if err != nil {
		t.Fatal(err)
	}
	seal, err := release.DecodeSeal(sections[len(sections)-1].Data)
	if err != nil {
		t.Fatal(err)
	}
	loader, err := authenticode.Attach(program.EFI(), seal.Loader)
	if err != nil {
		t.Fatal(err)
	}
	if err := authenticode.Check(bytes.NewReader(loader), int64(len(loader)), believed); err != nil {
		t.Errorf("the loader that the system carries: %v", err)
	}
	if raw, err := os.ReadFile(filepath.Join(dir, "vm-host.efi")); err != nil || !bytes.Equal(raw, system) {
		t.Errorf("the release's folder was changed: %v", err)
	}
}

func TestBadInput(t *testing.T) {
	o := newOwner(t)
	o.run("init", "--repo", o.repo, "--public", o.public())
	keys := o.targets + "," + o.online
	o.fails("make release", "sign", "--repo", o.repo, "--keys", keys, t.TempDir())
	dir := o.release("1.0.0", map[string]string{"a.efi": "one"})
	if err := os.WriteFile(filepath.Join(dir, "a.efi"), []byte("eno"), 0o644); err != nil {
		t.Fatal(err)
	}
	o.fails("1.0.0/a.efi has", "sign", "--repo", o.repo, "--keys", keys, dir)
	dir = o.release("1.0.0", map[string]string{"a.efi": "one"})
	o.run("sign", "--repo", o.repo, "--keys", keys, dir)
	o.fails("a release is never changed", "sign", "--repo", o.repo, "--keys", keys, o.release("1.0.0", map[string]string{"a.efi": "two"}))
	o.fails("keys are never replaced", "keys", "--dir", o.targets, "targets")
	o.fails("want root, targets", "keys", "--dir", o.targets, "master")
	if err := os.WriteFile(o.password, []byte("wrong horse\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	o.fails("passphrase is wrong", "timestamp", "--repo", o.repo, "--keys", o.online)
	for _, f := range []string{filepath.Join(o.targets, "targets.key"), filepath.Join(o.targets, "targets.pub")} {
		if s, err := os.Stat(f); err != nil || s.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v %v", f, s, err)
		}
	}
	raw, err := os.ReadFile(filepath.Join(o.targets, "targets.key"))
	if err != nil || !bytes.HasPrefix(raw, []byte("-----BEGIN AGE ENCRYPTED FILE-----")) {
		t.Errorf("the key file begins with %.40q: %v", raw, err)
	}
}

// TestOtherClients: go-tuf's own client, which knows nothing of Hardnode, reads the repository from a plain web server.
func TestOtherClients(t *testing.T) {
	o := newOwner(t)
	o.run("init", "--repo", o.repo, "--public", o.public())
	o.run("sign", "--repo", o.repo, "--keys", o.targets+","+o.online, o.release("1.0.0", map[string]string{"a.efi": "one"}))
	s := httptest.NewServer(http.FileServer(http.Dir(o.repo)))
	defer s.Close()
	root, err := os.ReadFile(filepath.Join(o.repo, "metadata", "1.root.json"))
	if err != nil {
		t.Fatal(err)
	}
	cfg, err := config.New(s.URL+"/metadata", root)
	if err != nil {
		t.Fatal(err)
	}
	cfg.RemoteTargetsURL, cfg.DisableLocalCache = s.URL+"/targets", true
	u, err := updater.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	info, err := u.GetTargetInfo("1.0.0/a.efi")
	if err != nil {
		t.Fatal(err)
	}
	info.Path = "1.0.0/a.efi"
	if _, raw, err := u.DownloadTarget(info, filepath.Join(t.TempDir(), "a"), ""); err != nil || string(raw) != "one" {
		t.Errorf("got %q %v", raw, err)
	}
}
