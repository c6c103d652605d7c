package cluster

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"hardnode.dev/internal/identity"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/qemu-tests/harness"
)

// registryTransport reaches the registry through its forwarded port and takes only the cluster's own registry for it.
func (c *Cluster) registryTransport() *http.Transport {
	return &http.Transport{TLSClientConfig: identity.ClientTLS(identity.Trust{Pin: c.day0.caPin}, identity.WantComponent("registry"), nil),
		ResponseHeaderTimeout: 2 * time.Minute, IdleConnTimeout: 10 * time.Second}
}

// pushTemplate pushes the template nginx as soon as the registry answers, and waits until it is imported.
func (c *Cluster) pushTemplate(ctx context.Context, detail detail) error {
	if err := c.WaitRegistry(ctx, joinTime()); err != nil {
		return err
	}
	detail("the registry answers")
	t, err := c.PushTemplate(ctx, "nginx")
	if err != nil {
		return err
	}
	detail("%s is %s, %d bytes", t.Name, t.Digest, t.Bytes)
	return nil
}

// WaitRegistry waits until the registry serves.
func (c *Cluster) WaitRegistry(ctx context.Context, limit time.Duration) error {
	tr := c.registryTransport()
	defer tr.CloseIdleConnections()
	client := &http.Client{Transport: tr, Timeout: 10 * time.Second}
	var last error
	err := c.poll(ctx, limit, 500*time.Millisecond, func(ctx context.Context) (bool, error) {
		res, err := get(ctx, client, fmt.Sprintf("https://127.0.0.1:%d%s", c.Ports.Registry, host.PathHealthz))
		if last = err; err == nil && res != http.StatusOK {
			last = fmt.Errorf("status %d", res)
		}
		return last == nil, nil
	})
	if err != nil {
		return fmt.Errorf("wait for the registry: %w; the last answer was: %v%s", err, last, c.excerpt(c.Infra))
	}
	return nil
}

func get(ctx context.Context, client *http.Client, url string) (status int, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, err
	}
	res, err := client.Do(req)
	if err != nil {
		return 0, err
	}
	return res.StatusCode, res.Body.Close()
}

// PushTemplate pushes out/templates/<template> as <template>:latest, as any OCI tool would, and waits until it is imported.
func (c *Cluster) PushTemplate(ctx context.Context, template string) (host.Template, error) {
	return c.push(ctx, filepath.Join(c.Root, "out/templates", template), wire.TemplateName(template+":latest"))
}

func (c *Cluster) push(ctx context.Context, dir string, to wire.TemplateName) (t host.Template, err error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute*harness.Scale())
	defer cancel()
	raw, err := os.ReadFile(filepath.Join(c.day0.admin, "hnctl", "push-token"))
	if err != nil {
		return t, err
	}
	token := strings.TrimSpace(string(raw))
	index, err := layout.ImageIndexFromPath(dir)
	if err != nil {
		return t, fmt.Errorf("read template %s: %v", dir, err)
	}
	list, err := index.IndexManifest()
	if err != nil || len(list.Manifests) == 0 {
		return t, errors.Join(fmt.Errorf("read template %s: it lists no image", dir), err)
	}
	img, err := index.Image(list.Manifests[0].Digest)
	if err != nil {
		return t, fmt.Errorf("read template %s: %v", dir, err)
	}
	ref, err := name.ParseReference(fmt.Sprintf("127.0.0.1:%d/%s", c.Ports.Registry, to))
	if err != nil {
		return t, err
	}
	tr := c.registryTransport()
	defer tr.CloseIdleConnections()
	if err := remote.Write(ref, img, remote.WithContext(ctx), remote.WithTransport(secure{tr}), remote.WithAuth(&authn.Basic{Username: "admin", Password: token})); err != nil {
		return t, fmt.Errorf("push %s: %v", to, err)
	}
	return c.imported(ctx, tr, token, to)
}

// imported asks for the import, which waits for one that is under way, and returns the template.
func (c *Cluster) imported(ctx context.Context, tr *http.Transport, token string, to wire.TemplateName) (t host.Template, err error) {
	body, err := json.Marshal(host.ImportRequest{Name: to})
	if err != nil {
		return t, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, fmt.Sprintf("https://127.0.0.1:%d%s", c.Ports.Registry, host.PathImport), bytes.NewReader(body))
	if err != nil {
		return t, err
	}
	req.Header.Set("Authorization", "Bearer "+token)
	req.Header.Set("Content-Type", "application/json")
	res, err := (&http.Client{Transport: tr}).Do(req)
	if err != nil {
		return t, fmt.Errorf("import %s: %v", to, err)
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	if err != nil || res.StatusCode/100 != 2 {
		return t, fmt.Errorf("import %s: status %d: %s%v", to, res.StatusCode, answer, err)
	}
	return t, json.Unmarshal(answer, &t)
}

// secure sends a request over HTTPS although its address is a loopback one, which OCI libraries take for plain HTTP.
type secure struct{ http.RoundTripper }

func (s secure) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Scheme == "http" {
		r = r.Clone(r.Context())
		r.URL.Scheme = "https"
	}
	return s.RoundTripper.RoundTrip(r)
}
