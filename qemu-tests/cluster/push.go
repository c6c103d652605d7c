package cluster

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"hardnode.dev/internal/identity"
	"hardnode.dev/internal/wire/host"
)

// registryTransport reaches the registry through its forwarded port and takes only the cluster's own registry for it.
func (c *Cluster) registryTransport() *http.Transport {
	return &http.Transport{TLSClientConfig: identity.ClientTLS(identity.Trust{Pin: c.day0.caPin}, identity.WantComponent("registry"), nil),
		ResponseHeaderTimeout: longest, IdleConnTimeout: 10 * time.Second}
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

// Put sends content to the registry as a blob of that digest, past hnctl's own checks, and returns the registry's status and words.
func (c *Cluster) Put(ctx context.Context, repository, digest string, content []byte) (status int, words string, err error) {
	token, err := os.ReadFile(filepath.Join(c.day0.admin, "hnctl", "push-token"))
	if err != nil {
		return 0, "", err
	}
	tr := c.registryTransport()
	defer tr.CloseIdleConnections()
	do := func(method, url string, body []byte) (*http.Response, string, error) {
		req, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(body))
		if err != nil {
			return nil, "", err
		}
		req.SetBasicAuth("test", strings.TrimSpace(string(token)))
		req.Header.Set("Content-Type", "application/octet-stream")
		res, err := (&http.Client{Transport: tr, Timeout: 30 * time.Second}).Do(req)
		if err != nil {
			return nil, "", err
		}
		defer res.Body.Close()
		raw, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
		return res, string(raw), err
	}
	base := fmt.Sprintf("https://127.0.0.1:%d", c.Ports.Registry)
	res, words, err := do(http.MethodPost, base+"/v2/"+repository+"/blobs/uploads/", nil)
	if err != nil {
		return 0, words, err
	}
	at, err := url.Parse(res.Header.Get("Location"))
	if err != nil || res.StatusCode != http.StatusAccepted {
		return res.StatusCode, words, err
	}
	q := at.Query()
	q.Set("digest", digest)
	if res, words, err = do(http.MethodPut, base+at.Path+"?"+q.Encode(), content); err != nil {
		return 0, words, err
	}
	return res.StatusCode, words, nil
}

// PushTemplate pushes out/templates/<template> as <template>:latest, as an operator would, and waits until it is imported.
func (c *Cluster) PushTemplate(ctx context.Context, template string) (host.Template, error) {
	var t host.Template
	b, err := c.HNCTL(ctx, "template", "push", filepath.Join(c.Root, "out/templates", template), "-o", "json")
	if err != nil {
		return t, err
	}
	if err := json.Unmarshal(b, &t); err != nil {
		return t, fmt.Errorf("hnctl template push -o json: %v: %.200s", err, b)
	}
	return t, nil
}
