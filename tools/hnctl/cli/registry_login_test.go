package cli

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"io"
	"log"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"hardnode.dev/internal/identity"
	"hardnode.dev/internal/wire"
	"hardnode.dev/tools/hnctl/config"
)

// aRegistry serves /v2/ with a registry's certificate that has the names, and writes hnctl's configuration for it into dir.
func aRegistry(t *testing.T, dir string, names ...string) (addr string) {
	t.Helper()
	const cluster = wire.ClusterID("cl-0123456789abcdef")
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	now := time.Now()
	root, err := identity.NewRoot(cluster, now)
	must(err)
	issuing, err := root.Issue(cluster, now)
	must(err)
	der, err := x509.MarshalPKCS8PrivateKey(issuing.Key)
	must(err)
	authority, err := identity.OpenAuthority(cluster, root.Cert.Raw, issuing.Cert.Raw, der)
	must(err)
	key, err := identity.NewKey()
	must(err)
	csr, err := identity.CSR(key)
	must(err)
	chain, err := authority.Sign(csr, identity.Peer{CTID: 1, Component: "registry", Host: "h-0123456789ab"}, names, now)
	must(err)
	cred, err := identity.NewCredential(key, chain)
	must(err)
	holder := &identity.Holder{}
	holder.Set(cred)
	l, err := tls.Listen("tcp", "127.0.0.1:0", identity.ServerTLS(identity.Trust{Pin: identity.Pin(root.Cert), Cluster: cluster}, nil, holder))
	must(err)
	srv := &http.Server{ErrorLog: log.New(io.Discard, "", 0), Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, p, _ := r.BasicAuth(); r.URL.Path != "/v2/" || p != "push-me" {
			w.WriteHeader(http.StatusUnauthorized)
		}
	})}
	go srv.Serve(l)
	t.Cleanup(func() { srv.Close() })
	addr = l.Addr().String()
	raw, err := config.Encode(config.Config{Version: 1, Cluster: cluster, Name: "demo", Servers: []string{"https://" + addr}, CAPin: identity.Pin(root.Cert), TokenFile: "token",
		Registry: &config.Registry{Server: "https://" + addr, TokenFile: "push-token"}})
	must(err)
	must(os.WriteFile(filepath.Join(dir, config.FileName), raw, 0o600))
	must(os.WriteFile(filepath.Join(dir, "push-token"), []byte("push-me\n"), 0o600))
	return addr
}

// TestRegistryLogin: afterwards container tools have the token, and the certificate they must trust.
func TestRegistryLogin(t *testing.T) {
	dir, docker := t.TempDir(), filepath.Join(t.TempDir(), "made", "anew")
	t.Setenv("DOCKER_CONFIG", docker)
	addr := aRegistry(t, dir, "127.0.0.1")
	var out, talk bytes.Buffer
	login := func() int {
		out.Reset()
		talk.Reset()
		return Main(t.Context(), []string{"--config", dir, "registry", "login"}, strings.NewReader(""), &out, &talk)
	}
	if code := login(); code != 0 || strings.Contains(talk.String(), "warning: the registry's") {
		t.Fatalf("login: exit %d, %s", code, talk.String())
	}
	ca := filepath.Join(dir, "root-ca.crt")
	for _, want := range []string{"SSL_CERT_FILE=" + ca, "/etc/docker/certs.d/" + addr + "/ca.crt", "containers/certs.d/" + addr, "crane push", "skopeo copy"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is not said:\n%s", want, out.String())
		}
	}
	if strings.Contains(out.String()+talk.String(), "push-me") {
		t.Error("the token is shown")
	}
	// An ordinary client trusts that certificate for the address.
	raw, err := os.ReadFile(ca)
	pool := x509.NewCertPool()
	if err != nil || !pool.AppendCertsFromPEM(raw) {
		t.Fatalf("no certificate: %v", err)
	}
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}}
	req, _ := http.NewRequest("GET", "https://"+addr+"/v2/", nil)
	req.SetBasicAuth("any", "push-me")
	if resp, err := client.Do(req); err != nil || resp.StatusCode != 200 {
		t.Errorf("got %v, %v", resp, err)
	}
	if st, err := os.Stat(filepath.Join(docker, "config.json")); err != nil || st.Mode() != 0o600 {
		t.Errorf("got %v, %v", st, err)
	}
	os.WriteFile(filepath.Join(dir, "push-token"), []byte("other\n"), 0o600)
	if code := login(); code != exitDenied || !strings.Contains(talk.String(), "does not take the token") {
		t.Errorf("a wrong token: exit %d, %s", code, talk.String())
	}
	if raw, _ := os.ReadFile(filepath.Join(docker, "config.json")); !bytes.Contains(raw, []byte("aG5jdGw6cHVzaC1tZQ==")) {
		t.Errorf("a refused token was written: %s", raw)
	}
	aRegistry(t, dir, "registry.test")
	if code := login(); code != 0 || !strings.Contains(talk.String(), "certificate does not name 127.0.0.1") {
		t.Errorf("another name: exit %d, %s", code, talk.String())
	}
}

// TestDockerConfig: what else is in docker's configuration stays as it is; one that can't be read is left alone.
func TestDockerConfig(t *testing.T) {
	const mine = `{"auth":"aG5jdGw6dA=="}`
	for _, c := range []struct{ name, was, want string }{
		{"none", "", `{"auths":{"r:1":` + mine + `}}`},
		{"empty", " \n", `{"auths":{"r:1":` + mine + `}}`},
		{"auths null", `{"auths":null}`, `{"auths":{"r:1":` + mine + `}}`},
		{"others", `{"psFormat":"{{.ID}} <&>","auths":{"ghcr.io":{"auth":"x","email":"a@b"}},"n":12345678901234567890}`,
			`{"auths":{"ghcr.io":{"auth":"x","email":"a@b"},"r:1":` + mine + `},"n":12345678901234567890,"psFormat":"{{.ID}} <&>"}`},
		{"again", `{"auths":{"r:1":{"auth":"old","identitytoken":"y"}}}`, `{"auths":{"r:1":` + mine + `}}`},
		{"a store", `{"credsStore":"desktop"}`, `{"auths":{"r:1":` + mine + `},"credHelpers":{"r:1":""},"credsStore":"desktop"}`},
		{"a helper for it", `{"credHelpers":{"r:1":"pass","x":"gcloud"}}`, `{"auths":{"r:1":` + mine + `},"credHelpers":{"r:1":"","x":"gcloud"}}`},
		{"no JSON", `{auths`, ""},
		{"a list", `[]`, ""},
		{"null", `null`, ""},
		{"auths a list", `{"auths":[]}`, ""},
		{"helpers a text", `{"credHelpers":"x"}`, ""},
	} {
		dir := t.TempDir()
		t.Setenv("DOCKER_CONFIG", dir)
		path := filepath.Join(dir, "config.json")
		if c.name != "none" {
			os.WriteFile(path, []byte(c.was), 0o644)
		}
		got, err := dockerConfig("r:1", "hnctl", "t")
		raw, _ := os.ReadFile(path)
		if c.want == "" {
			if err == nil || !strings.Contains(err.Error(), path) || string(raw) != c.was {
				t.Errorf("%s: got %v, the file is now %s", c.name, err, raw)
			}
			continue
		}
		var b bytes.Buffer
		if json.Compact(&b, raw); err != nil || got != path || b.String() != c.want {
			t.Errorf("%s: got %s\nwant %s (%v)", c.name, b.String(), c.want, err)
		}
		if st, _ := os.Stat(path); st.Mode() != 0o600 {
			t.Errorf("%s: mode %v", c.name, st.Mode())
		}
	}
	// Through a link, and in the home directory.
	home := t.TempDir()
	t.Setenv("DOCKER_CONFIG", "")
	t.Setenv("HOME", home)
	os.MkdirAll(filepath.Join(home, ".docker"), 0o700)
	real := filepath.Join(home, "dotfiles.json")
	os.WriteFile(real, []byte("{}"), 0o600)
	os.Symlink(real, filepath.Join(home, ".docker", "config.json"))
	if _, err := dockerConfig("r:1", "hnctl", "t"); err != nil {
		t.Fatal(err)
	}
	if raw, _ := os.ReadFile(real); !bytes.Contains(raw, []byte("aG5jdGw6dA==")) {
		t.Errorf("the link's file was not written: %s", raw)
	}
	if st, _ := os.Lstat(filepath.Join(home, ".docker", "config.json")); st.Mode()&os.ModeSymlink == 0 {
		t.Error("the link is gone")
	}
}
