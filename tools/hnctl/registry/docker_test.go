package registry

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

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
		{"a helper for it", `{"credHelpers":{"r:1":"pass","x":"gcloud"}}`,
			`{"auths":{"r:1":` + mine + `},"credHelpers":{"r:1":"","x":"gcloud"}}`},
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
