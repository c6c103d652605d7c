// Package registry is hnctl's commands on the cluster's registry.
//
// Owns: the login that other programs find in Docker's configuration file, and the trust they need.
// In: arguments and flags; an app.App.
// Out: a changed configuration file; words on what is left to do.
// Never: knows the other nouns' commands, or decides what the orchestrator decides.
package registry

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"hardnode.dev/internal/identity"
	"hardnode.dev/internal/keep"
	"hardnode.dev/internal/secret"
	"hardnode.dev/tools/hnctl/app"
	"hardnode.dev/tools/hnctl/config"
)

// Group is the commands on the cluster's registry.
func Group(a *app.App) *cobra.Command {
	return app.Group("registry", "The cluster's registry", registryLogin(a))
}

// loginName is the user name that goes with the push token: the registry takes any.
const loginName = "hnctl"

func registryLogin(a *app.App) *cobra.Command {
	return &cobra.Command{
		Use: "login", Short: "Let docker, crane, skopeo and podman push to the cluster's registry", Args: cobra.NoArgs,
		Long: "Writes the push token for the registry into docker's configuration (DOCKER_CONFIG, else ~/.docker; other entries " +
			"stay), and the cluster's\nroot certificate beside hnctl's configuration; and says how each tool is told to trust it.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return login(cmd.Context(), a)
		},
	}
}

func login(ctx context.Context, a *app.App) error {
	cfg, u, token, err := a.Registry()
	if err != nil {
		return err
	}
	ctx, cancel := a.Limit(ctx)
	defer cancel()
	root, named, err := knock(ctx, cfg, token)
	if err != nil {
		return err
	}
	dir, err := config.Dir(a.ConfigFlag)
	if err != nil {
		return err
	}
	ca := filepath.Join(dir, "root-ca.crt")
	if err := keep.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: root}), 0o644); err != nil {
		return app.Unwritten(err)
	}
	file, err := dockerConfig(u.Host, loginName, token)
	if err != nil {
		return app.Unwritten(err)
	}
	if abs, err := filepath.Abs(ca); err == nil {
		ca = abs
	}
	a.Say("the push token for %s is in %s", u.Host, file)
	if !named {
		a.Say("warning: the registry's certificate does not name %s, so these tools will refuse it: use an address or a name that `hnctl "+
			"cluster init` was given", u.Hostname())
	}
	fmt.Fprintf(a.Out, `Trust the cluster's root certificate, %[2]s:
  crane:           export SSL_CERT_FILE=%[2]s
  skopeo, podman:  install -D -m 644 %[2]s ~/.config/containers/certs.d/%[1]s/ca.crt
  docker:          sudo install -D -m 644 %[2]s /etc/docker/certs.d/%[1]s/ca.crt
Then push:
  crane push IMAGE.tar %[1]s/NAME:TAG
  skopeo copy --authfile %[3]s oci:DIRECTORY docker://%[1]s/NAME:TAG
  docker push %[1]s/NAME:TAG
See how it is imported: hnctl template list
`, u.Host, ca, file)
	return nil
}

// knock asks the registry whether it takes the token. root is the certificate its chain ends in, which the pin knows; named says whether
// its certificate has the name it was reached under.
func knock(ctx context.Context, cfg config.Config, token secret.Text) (root []byte, named bool, err error) {
	trust := identity.Trust{Pin: cfg.CAPin, Cluster: cfg.Cluster}
	t := &http.Transport{TLSClientConfig: identity.ClientTLS(trust, identity.WantComponent("registry"), nil),
		TLSHandshakeTimeout: 10 * time.Second,
		DialContext:         (&net.Dialer{Timeout: 10 * time.Second}).DialContext}
	defer t.CloseIdleConnections()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, cfg.Registry.Server+"/v2/", nil)
	if err != nil {
		return nil, false, err
	}
	req.SetBasicAuth(loginName, token.Reveal())
	resp, err := t.RoundTrip(req)
	if err != nil {
		return nil, false, fmt.Errorf("reach the registry at %s: %w", cfg.Registry.Server, err)
	}
	defer resp.Body.Close()
	switch {
	case resp.StatusCode == http.StatusUnauthorized:
		return nil, false, app.WithCode(app.ExitDenied,
			fmt.Errorf("the registry at %s does not take the token in %s: give the push token that `hnctl cluster init` wrote",
				cfg.Registry.Server, cfg.Registry.TokenFile))
	case resp.StatusCode != http.StatusOK:
		return nil, false, fmt.Errorf("the registry at %s answered %s", cfg.Registry.Server, resp.Status)
	}
	root, named = chain(resp.TLS, req.URL.Hostname())
	if root == nil {
		return nil, false, errors.New("the registry's chain has no root certificate")
	}
	return root, named, nil
}

func chain(s *tls.ConnectionState, name string) (root []byte, named bool) {
	if s == nil || len(s.PeerCertificates) == 0 {
		return nil, false
	}
	for _, c := range s.PeerCertificates {
		if bytes.Equal(c.RawSubject, c.RawIssuer) && c.IsCA {
			root = c.Raw
		}
	}
	return root, s.PeerCertificates[0].VerifyHostname(name) == nil
}

// dockerConfig puts the credentials into docker's configuration file, which it makes; what else is in there stays. Where the file names a
// helper that keeps credentials, this registry is taken from it: a helper never looks into the file.
func dockerConfig(server, user string, token secret.Text) (file string, err error) {
	dir := os.Getenv("DOCKER_CONFIG")
	if dir == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			return "", fmt.Errorf("find docker's configuration: %v; set DOCKER_CONFIG to a directory", err)
		}
		dir = filepath.Join(home, ".docker")
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", fmt.Errorf("make docker's configuration directory: %w", err)
	}
	file = filepath.Join(dir, "config.json")
	if to, err := filepath.EvalSymlinks(file); err == nil {
		file = to // the link stays
	}
	doc := map[string]json.RawMessage{}
	raw, err := os.ReadFile(file)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("read docker's configuration: %v", err)
	}
	entry := func(of string) (map[string]json.RawMessage, error) {
		m := map[string]json.RawMessage{}
		if doc[of] == nil || string(doc[of]) == "null" {
			return m, nil
		}
		if err := json.Unmarshal(doc[of], &m); err != nil {
			return nil, fmt.Errorf("read docker's configuration %s: %s: %v; mend or move the file", file, of, err)
		}
		return m, nil
	}
	if len(bytes.TrimSpace(raw)) > 0 {
		if err := json.Unmarshal(raw, &doc); err != nil || doc == nil {
			return "", fmt.Errorf("read docker's configuration %s: %v; mend or move the file", file, err)
		}
	}
	auths, err := entry("auths")
	if err != nil {
		return "", err
	}
	helpers, err := entry("credHelpers")
	if err != nil {
		return "", err
	}
	auths[server] = encoded(map[string]string{"auth": base64.StdEncoding.EncodeToString([]byte(user + ":" + token.Reveal()))})
	doc["auths"] = encoded(auths)
	if _, own := helpers[server]; own || doc["credsStore"] != nil {
		helpers[server] = encoded("")
		doc["credHelpers"] = encoded(helpers)
	}
	var out bytes.Buffer
	if err := json.Indent(&out, encoded(doc), "", "\t"); err != nil {
		return "", fmt.Errorf("write docker's configuration: %v", err)
	}
	out.WriteByte('\n')
	return file, keep.WriteFile(file, out.Bytes(), 0o600)
}

func encoded(v any) json.RawMessage {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false) // what others wrote stays as it is
	if err := enc.Encode(v); err != nil {
		panic("BUG: encode docker's configuration: " + err.Error())
	}
	return bytes.TrimSpace(b.Bytes())
}
