package day0

import (
	"bytes"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"hardnode.dev/internal/identity"
	"hardnode.dev/internal/license"
	"hardnode.dev/internal/license/issue"
	"hardnode.dev/internal/secret"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/boot"
	"hardnode.dev/internal/wire/document"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/jls"
	"hardnode.dev/tools/hnctl/config"
)

var now = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

func key(seed byte) ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed(bytes.Repeat([]byte{seed}, 32))
}

func public(k ed25519.PrivateKey) ed25519.PublicKey { return k.Public().(ed25519.PublicKey) }

func options(t *testing.T) Options {
	t.Helper()
	cert, err := issue.Certify(key('r'), public(key('s')), now, now.Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	token, err := issue.Signer{Key: key('s'), Cert: cert}.License(license.License{ID: "lic-1", Customer: "Demo", Hosts: 2, Issued: now,
		Expires: now.Add(24 * time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	cfg, err := json.Marshal(jls.Config{Version: 1, Root: public(key('r')), SigningKey: key('s').Seed(), SigningFor: cert,
		TLSKey: key('t').Seed(), AdminToken: "sha256:" + strings.Repeat("0a", 32)})
	if err != nil {
		t.Fatal(err)
	}
	link := func(s string) boot.Link {
		l, err := ParseLink(s)
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	return Options{
		Name: "demo", Domain: "demo.test", Infra: netip.MustParseAddr("10.77.0.2"), External: "127.0.0.1:17443", Hosts: 2, License: token,
		LicenseKey: public(key('r')),
		JLS:        boot.JLSEndpoint{Addr: InternalJLS(), Pin: "sha256:" + strings.Repeat("0b", 32)}, JLSConfig: cfg, JLSToken: "jls1.x",
		JoinWithin: time.Hour, ExternalJLS: "127.0.0.1:17446",
		Args:           map[string][]string{"jls": {"--listen", ":7446"}},
		TrustedProxies: []netip.Prefix{netip.MustParsePrefix("192.0.2.10/32")},
		ProxyProtocol:  []netip.Prefix{netip.MustParsePrefix("192.0.2.11/32")},
		InfraLinks: []boot.Link{
			link("name=underlay,mac=52:54:00:00:00:02,address=10.77.0.2/24,gateway=10.77.0.1,dns=10.77.0.1,mtu=1400"),
			link("name=outside,pci=0000:00:03.0,dhcp")},
		HostLinks: map[int][]boot.Link{1: {link("name=underlay,mac=52:54:00:00:00:11,address=10.77.0.11/24")}},
	}
}

// TestPiecesFit reads every file as its reader does and checks that tokens, hashes, pins and keys belong together.
func TestPiecesFit(t *testing.T) {
	o := options(t)
	made, err := Make(o, now)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string][]byte{}
	for _, f := range made.Files {
		if files[f.Path] != nil || f.What == "" {
			t.Errorf("%s is there twice, or is not explained", f.Path)
		}
		files[f.Path] = f.Data
	}
	word := func(path string) string { return strings.TrimSpace(string(files[path])) }

	bundle, err := boot.DecodeBundle(files["infra-bundle.json"])
	if err != nil {
		t.Fatal(err)
	}
	byName := map[string]host.Container{}
	for _, c := range bundle.Work.Containers {
		byName[c.Component] = c
	}
	if len(byName) != 5 || bundle.Cluster != made.Cluster {
		t.Fatalf("bundle of %s has %d components, want 5 of %s", bundle.Cluster, len(byName), made.Cluster)
	}
	content := func(component, path string) []byte {
		for _, f := range byName[component].Files {
			if f.Path == path {
				return f.Data
			}
		}
		t.Fatalf("%s has no file %s", component, path)
		return nil
	}
	raw := content("orchestrator", boot.SeedFile)
	seed, err := boot.DecodeSeed(raw)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(seed.FirstWork(raw), bundle.Work) {
		t.Error("what the orchestrator imports is not what the infra host runs")
	}
	pin := identity.Pin(parse(t, seed.RootCA))
	if _, err := identity.OpenAuthority(seed.Cluster, seed.RootCA, seed.IssuingCA, seed.IssuingKey); err != nil {
		t.Error(err)
	}
	if pin != made.Pin || seed.Cluster != made.Cluster || len(seed.Gossip) != 32 {
		t.Errorf("seed: pin %s, cluster %s, %d bytes of gossip key", pin, seed.Cluster, len(seed.Gossip))
	}
	if l, err := license.Verify(seed.License, seed.LicenseKey, now); err != nil || l.ID != made.License.ID {
		t.Errorf("seed's licence: %+v, %v", l, err)
	}

	reg, err := boot.DecodeRegistryConfig(content("registry", boot.RegistryConfigFile))
	if err != nil || reg.CAPin != pin || reg.PushToken != "sha256:"+identity.HashToken(secret.Text(word("hnctl/push-token"))) {
		t.Errorf("registry: %+v, %v", reg, err)
	}
	res, err := boot.DecodeResolverConfig(content("resolver", boot.ResolverConfigFile))
	if err != nil || len(res.TrustedProxies) != 1 || len(res.ProxyProtocol) != 1 || res.CAPin != pin ||
		res.Orchestrator[0] != byName["orchestrator"].IPv4.String()+":7444" {
		t.Errorf("resolver: %+v, %v", res, err)
	}
	pat, err := boot.DecodePatcherConfig(content("patcher", boot.PatcherConfigFile))
	if err != nil || pat.CAPin != pin || seed.PatcherToken != "sha256:"+identity.HashToken(pat.Token) ||
		pat.API[0] != byName["orchestrator"].IPv4.String()+":7443" {
		t.Errorf("patcher: %+v, %v", pat, err)
	}
	if _, err := jls.DecodeConfig(content("jls", jls.ConfigFile)); err != nil {
		t.Error(err)
	}
	if want := byName["jls"].IPv4.String() + ":7446"; seed.JLS.Addr != want || seed.Names4["jls"]+":7446" != want {
		t.Errorf("JLS at %s and %s, want %s", seed.JLS.Addr, seed.Names4["jls"], want)
	}

	if seed.AdminToken != "sha256:"+identity.HashToken(secret.Text(word("hnctl/token"))) {
		t.Error("the admin token is not the one the orchestrator knows")
	}
	dir := filepath.Join(t.TempDir(), "d")
	if err := Write(dir, made.Files); err != nil {
		t.Fatal(err)
	}
	cfg, err := config.Load(filepath.Join(dir, "hnctl"))
	if err != nil || cfg.CAPin != pin || cfg.Servers[0] != "https://127.0.0.1:17443" || cfg.JLS.Server != "https://127.0.0.1:17446" ||
		cfg.Registry.Server != "https://127.0.0.1:7445" || cfg.JLS.Pin != o.JLS.Pin {
		t.Errorf("hnctl: %+v, %v", cfg, err)
	}
	if tok, _, err := cfg.Token(cfg.TokenFile); err != nil || tok.Reveal() != word("hnctl/token") {
		t.Errorf("hnctl's token: %v", err)
	}

	for i, path := range []string{"infra.yaml", "host-1.yaml", "host-2.yaml"} {
		c, err := document.HostConfig(path, files[path])
		if err != nil {
			t.Fatal(err)
		}
		rec := seed.JoinTokens[i]
		if identity.HashToken(c.Join.Token) != rec.Hash || rec.Name != c.Name || rec.Role != c.Role || c.Join.CAPin != pin ||
			rec.Expires != now.Add(time.Hour).Unix() {
			t.Errorf("%s: its token or pin is not the one the orchestrator knows: %+v, %+v", path, c, rec)
		}
	}
	infra, _ := document.HostConfig("infra.yaml", files["infra.yaml"])
	if !reflect.DeepEqual(infra.Network.Links, o.InfraLinks) || infra.Network.Underlay != "underlay" {
		t.Errorf("links got %+v, want %+v", infra.Network, o.InfraLinks)
	}
	block, _ := pem.Decode(files["admin/root-ca.key"])
	if k, err := x509.ParsePKCS8PrivateKey(block.Bytes); err != nil ||
		!k.(ed25519.PrivateKey).Public().(ed25519.PublicKey).Equal(parse(t, seed.RootCA).PublicKey) {
		t.Errorf("root key: %v", err)
	}
	for path, data := range files {
		if !strings.HasPrefix(path, "admin/") && bytes.Contains(data, block.Bytes[len(block.Bytes)-32:]) {
			t.Errorf("%s holds the root key", path)
		}
	}
}

func TestEachContainerIsSound(t *testing.T) {
	made, err := Make(options(t), now)
	if err != nil {
		t.Fatal(err)
	}
	var bundle boot.Bundle
	for _, f := range made.Files {
		if f.Path == "infra-bundle.json" {
			if bundle, err = boot.DecodeBundle(f.Data); err != nil {
				t.Fatal(err)
			}
		}
	}
	seen := map[any]bool{}
	for i, c := range bundle.Work.Containers {
		if int(c.CTID) != i+1 {
			t.Errorf("%s is number %d in the order of start, and has CTID %d", c.Component, i+1, c.CTID)
		}
		for _, a := range []any{c.IPv4, c.IPv6, c.Hostname} {
			if seen[a] {
				t.Errorf("%s: %v is there twice", c.Component, a)
			}
			seen[a] = true
		}
		for _, p := range c.Publish {
			if seen[p] {
				t.Errorf("%s: port %+v is published twice", c.Component, p)
			}
			seen[p] = true
		}
		if !netip.MustParsePrefix("10.96.0.0/24").Contains(c.IPv4) || !c.IPv6.Is6() || c.Limits.MemoryMin > c.Limits.MemoryHigh ||
			c.Limits.MemoryHigh > c.Limits.MemoryMax || !c.Run || c.Generation < 1 || c.Image.Name == "" {
			t.Errorf("%s: %+v", c.Component, c)
		}
		for _, f := range c.Files {
			if !strings.HasPrefix(f.Path, boot.RunDir+"/") || f.Mode != 0o400 {
				t.Errorf("%s: file %s with mode %o", c.Component, f.Path, f.Mode)
			}
		}
	}
}

func TestImagesByDigest(t *testing.T) {
	o := options(t)
	for _, n := range []string{"registry", "jls", "orchestrator", "resolver"} {
		o.Images = append(o.Images, boot.BundledImage{Image: host.Image{Name: wire.TemplateName("jelastic/" + n), Digest: "sha256:0a0b",
			Bytes: 7}, Process: host.Process{Argv: []string{"/x"}, UID: 9}})
	}
	c, err := newCluster(o, now)
	if err != nil {
		t.Fatal(err)
	}
	w, err := c.work()
	if err != nil {
		t.Fatal(err)
	}
	for _, got := range w.Containers {
		if string(got.Layer) != got.Component || string(got.Image.Name) != "jelastic/"+got.Component {
			t.Errorf("component %s is of layer %q with template %q", got.Component, got.Layer, got.Image.Name)
		}
	}
	if got := w.Containers[1]; got.Image.Bytes != 7 || got.Process.UID != 9 ||
		!slices.Equal(got.Process.Argv, []string{"/jls", "serve", "--listen", ":7446"}) {
		t.Errorf("got %+v", got)
	}
	c.Images = c.Images[:3]
	if _, err := c.work(); err == nil || !strings.Contains(err.Error(), "jelastic/resolver") {
		t.Errorf("an image is missing: got %v", err)
	}
}

func TestJLSElsewhere(t *testing.T) {
	o := options(t)
	o.JLSConfig, o.JLSToken, o.JLS.Addr = nil, "", "jls.example.org:7446"
	c, err := newCluster(o, now)
	if err != nil {
		t.Fatal(err)
	}
	w, err := c.work()
	if err != nil || len(w.Containers) != 4 || w.Containers[1].CTID != 3 {
		t.Errorf("got %+v, %v", w, err)
	}
}

func TestAddressPlan(t *testing.T) {
	for n, want := range map[int]string{0: "10.96.0.0/24", 1: "10.96.1.0/24", 200: "10.96.200.0/24", 300: "10.97.44.0/24"} {
		if got := block4(n).String(); got != want {
			t.Errorf("host %d: got %s, want %s", n, got, want)
		}
	}
	c := cluster{id: "cl-abcd000000000000"}
	if got := c.prefix6(64, 258).String(); got != "fd48:4e00:abcd:102::/64" {
		t.Errorf("got %s", got)
	}
	if got := c.address6(3).String(); got != "fd48:4e00:abcd::d" {
		t.Errorf("got %s", got)
	}
}

func TestWriteIsPrivateAndWhole(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new", "d")
	if err := Write(dir, []File{{Path: "a/b", Data: []byte("x")}}); err != nil {
		t.Fatal(err)
	}
	for path, mode := range map[string]os.FileMode{"": 0o700, "a": 0o700, "a/b": 0o600} {
		if st, err := os.Stat(filepath.Join(dir, path)); err != nil || st.Mode().Perm() != mode {
			t.Errorf("%q: %v, %v, want %o", path, st, err, mode)
		}
	}
	if err := Write(dir, []File{{Path: "a/b", Data: []byte("y")}}); err == nil {
		t.Error("written over")
	}
	if raw, _ := os.ReadFile(filepath.Join(dir, "a/b")); string(raw) != "x" {
		t.Errorf("got %q", raw)
	}
	// A name that is too long: nothing of it stays.
	parent := t.TempDir()
	if err := Write(filepath.Join(parent, "d"), []File{{Path: "ok", Data: nil}, {Path: strings.Repeat("x", 300), Data: nil}}); err == nil {
		t.Error("written")
	}
	if left, _ := os.ReadDir(parent); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

func parse(t *testing.T, der []byte) *x509.Certificate {
	t.Helper()
	c, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return c
}
