package cli

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
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
	"hardnode.dev/tools/hnctl/app"
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
	l, err := tls.Listen("tcp", "127.0.0.1:0",
		identity.ServerTLS(identity.Trust{Pin: identity.Pin(root.Cert), Cluster: cluster}, nil, holder))
	must(err)
	srv := &http.Server{ErrorLog: log.New(io.Discard, "", 0), Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, p, _ := r.BasicAuth(); r.URL.Path != "/v2/" || p != "push-me" {
			w.WriteHeader(http.StatusUnauthorized)
		}
	})}
	go srv.Serve(l)
	t.Cleanup(func() { srv.Close() })
	addr = l.Addr().String()
	raw, err := config.Encode(config.Config{Version: 1, Cluster: cluster, Name: "demo", Servers: []string{"https://" + addr},
		CAPin: identity.Pin(root.Cert), TokenFile: "token",
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
	for _, want := range []string{"SSL_CERT_FILE=" + ca, "/etc/docker/certs.d/" + addr + "/ca.crt", "containers/certs.d/" + addr,
		"crane push", "skopeo copy"} {
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
	if code := login(); code != app.ExitDenied || !strings.Contains(talk.String(), "does not take the token") {
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
