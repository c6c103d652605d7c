package cli

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"

	"hardnode.dev/internal/testkit/ports"
	"hardnode.dev/tools/hnctl/app"
	"hardnode.dev/tools/hnctl/config"
)

// TestPushToNobody: a registry that is not there is named with what was tried and what to do, as other servers are.
func TestPushToNobody(t *testing.T) {
	img, err := random.Image(64, 1)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if _, err := layout.Write(filepath.Join(dir, "image"),
		mutate.AppendManifests(empty.Index, mutate.IndexAddendum{Add: img})); err != nil {
		t.Fatal(err)
	}
	server := "https://" + ports.Own(t)
	raw, err := config.Encode(config.Config{Version: 1, Cluster: "cl-0123456789abcdef", Name: "demo", Servers: []string{server},
		CAPin:     "sha256:" + strings.Repeat("0b", 32),
		TokenFile: "token", Registry: &config.Registry{Server: server, TokenFile: "token"}})
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string]string{config.FileName: string(raw), "token": fakeToken} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(data), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var talk bytes.Buffer
	code := Main(t.Context(), []string{"--config", dir, "template", "push", filepath.Join(dir, "image"), "--name", "app"}, nil,
		io.Discard, &talk)
	want := "hnctl: push app:latest: " + server + ": connecting: refused: nothing listens there\n  next: check that the infra host runs"
	if code != app.ExitFailed || !strings.Contains(talk.String(), want) {
		t.Errorf("code %d, %q; want %d and %q", code, talk.String(), app.ExitFailed, want)
	}

	// With a description beside it: the name is that one's, and what is wrong with it is said before anything is sent.
	for _, c := range []struct {
		name, doc, more, want string
		code                  int
	}{
		{"its name", "version: 1\nname: own\nhttp: 80\n", "", "hnctl: push own:latest: " + server, app.ExitFailed},
		{"another name", "version: 1\nname: own\nhttp: 80\n", "else:2", "hnctl: push else:2: " + server, app.ExitFailed},
		{"port", "version: 1\nname: own\nhttp: 70000\n", "", "own.yaml:3:7: http:", app.ExitUsage},
		{"unknown", "version: 1\nname: own\nports: [80]\n", "", `own.yaml:3:1: unknown field "ports"`, app.ExitUsage},
		{"volume", "version: 1\nname: own\nvolumes: [{path: data}]\n", "", "want an absolute, clean path", app.ExitUsage},
		{"no document", "", "", "own.yaml", app.ExitUsage},
		{"what it is built of", "version: 1\nname: own\nprocess: {cmd: [a]}\ndebian: {versionOf: ab, limitMiB: 1, packages: {ab: [b]}}\n",
			"", "leave debian out", app.ExitUsage},
		{"no such file", "-", "", "no such file", app.ExitUsage},
	} {
		file := filepath.Join(dir, "own.yaml")
		if err := os.WriteFile(file, []byte(c.doc), 0o600); err != nil {
			t.Fatal(err)
		}
		if c.doc == "-" {
			os.Remove(file)
		}
		args := []string{"--config", dir, "template", "push", filepath.Join(dir, "image"), "--with", file}
		if c.more != "" {
			args = append(args, "--name", c.more)
		}
		var talk bytes.Buffer
		if code := Main(t.Context(), args, nil, io.Discard, &talk); code != c.code || !strings.Contains(talk.String(), c.want) {
			t.Errorf("%s: code %d, %q; want %d and %q", c.name, code, talk.String(), c.code, c.want)
		}
	}
}
