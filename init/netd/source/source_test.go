package source

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// put makes files below a root.
func put(t *testing.T, files map[string]string) string {
	root := t.TempDir()
	for _, d := range []string{"sys/class/block", "dev", "run"} {
		if err := os.MkdirAll(filepath.Join(root, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for name, text := range files {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

// iso is a CD image's descriptor with a label.
func iso(label string) string {
	raw := make([]byte, 0x8800)
	copy(raw[0x8001:], "CD001")
	copy(raw[0x8028:], label+strings.Repeat(" ", 32-len(label)))
	return string(raw)
}

const fw = "sys/firmware/qemu_fw_cfg/by_name/opt/hardnode/"

func TestLocal(t *testing.T) {
	volumeFiles := map[string]string{}
	mounted := 0
	mount := func(device, fstype, dir string) (func() error, error) {
		mounted++
		for name, text := range volumeFiles {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
				return nil, err
			}
		}
		return func() error {
			mounted--
			return errors.Join(os.RemoveAll(dir), os.Mkdir(dir, 0o755))
		}, nil
	}
	for _, c := range []struct {
		name   string
		files  map[string]string
		volume map[string]string
		yaml   string
		bundle string
		err    string
	}{
		{"nothing", nil, nil, "", "", "no configuration found"},
		{"fw_cfg", map[string]string{fw + "config/raw": "a"}, nil, "a", "", ""},
		{"fw_cfg with a bundle", map[string]string{fw + "config/raw": "a", fw + "bundle/raw": "{}"}, nil, "a", "{}", ""},
		{"fw_cfg before the volume", map[string]string{fw + "config/raw": "a", "sys/class/block/sr0/x": "", "dev/sr0": iso("HARDNODE")},
			map[string]string{"hardnode.yaml": "b"}, "a", "", ""},
		{"volume", map[string]string{"sys/class/block/sr0/x": "", "dev/sr0": iso("HARDNODE")},
			map[string]string{"hardnode.yaml": "b", "bundle.json": "{}"}, "b", "{}", ""},
		{"a CD with room for both", map[string]string{"sys/class/block/sr0/x": "", "dev/sr0": iso("HARDNODE")},
			map[string]string{"hardnode.yaml": "b\n\n\n\n", "bundle.json": "\n\n"}, "b\n", "", ""},
		{"a CD to which nothing was added", map[string]string{"sys/class/block/sr0/x": "", "dev/sr0": iso("HARDNODE")},
			map[string]string{"hardnode.yaml": "\n\n\n\n"}, "", "", "has nothing in its file hardnode.yaml"},
		{"another label", map[string]string{"sys/class/block/sr0/x": "", "dev/sr0": iso("PHOTOS")}, nil, "", "", "no configuration found"},
		{"volume without the file", map[string]string{"sys/class/block/sr0/x": "", "dev/sr0": iso("HARDNODE")}, nil, "", "",
			"has no file hardnode.yaml"},
		{"too long", map[string]string{fw + "config/raw": strings.Repeat("x", maxBytes+1)}, nil, "", "", "more than 4 MiB"},
	} {
		t.Run(c.name, func(t *testing.T) {
			volumeFiles = c.volume
			got, err := Local(put(t, c.files), mount)
			if c.err != "" {
				if err == nil || !strings.Contains(err.Error(), c.err) {
					t.Errorf("got %v, want an error with %q", err, c.err)
				}
			} else if err != nil || string(got.YAML) != c.yaml || string(got.Bundle) != c.bundle || got.Name == "" {
				t.Errorf("got %q, %q, %v; want %q, %q", got.YAML, got.Bundle, err, c.yaml, c.bundle)
			}
			if mounted != 0 {
				t.Errorf("%d volumes left mounted", mounted)
			}
		})
	}
}

func TestURL(t *testing.T) {
	for _, c := range []struct {
		cmdline, want string
		err           bool
	}{
		{"console=ttyS0 panic=10\n", "", false},
		{"console=ttyS0 hardnode.config=http://10.0.2.2:8000/h1.yaml quiet", "http://10.0.2.2:8000/h1.yaml", false},
		{"hardnode.config=http://10.0.2.2/pxe/host.ipxe/../hardnode.yaml", "http://10.0.2.2/pxe/hardnode.yaml", false},
		{"hardnode.config=http://10.0.2.2/a/./../../b.yaml?x=/../y", "http://10.0.2.2/b.yaml?x=/../y", false},
		{"hardnode.config=ftp://x/y", "", true},
		{"hardnode.config=", "", true},
	} {
		got, err := URL(c.cmdline)
		if got != c.want || (err != nil) != c.err {
			t.Errorf("URL(%q) = %q, %v", c.cmdline, got, err)
		}
	}
}

func TestFetch(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/h1.yaml" {
			http.NotFound(w, r)
			return
		}
		w.Write([]byte("version: 1"))
	}))
	defer s.Close()
	if d, err := Fetch(t.Context(), s.URL+"/h1.yaml"); err != nil || string(d.YAML) != "version: 1" {
		t.Errorf("got %+v, %v", d, err)
	}
	if _, err := Fetch(t.Context(), s.URL+"/h2.yaml"); err == nil || !strings.Contains(err.Error(), "404") {
		t.Errorf("got %v, want status 404", err)
	}
}
