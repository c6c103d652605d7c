package importer

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/orchestrator/registry/catalog"
	"hardnode.dev/orchestrator/registry/flatten"
)

// store is a Source in memory.
type store struct {
	tags  map[wire.TemplateName]wire.Digest
	blobs map[wire.Digest][]byte
	reads int
}

func newStore() *store {
	return &store{tags: map[wire.TemplateName]wire.Digest{}, blobs: map[wire.Digest][]byte{}}
}

func (s *store) put(raw []byte) v1.Hash {
	d := wire.DigestOf(sha256.Sum256(raw))
	s.blobs[d] = raw
	return v1.Hash{Algorithm: "sha256", Hex: d.Hex()}
}

func (s *store) Resolve(_ context.Context, name wire.TemplateName) (wire.Digest, error) {
	if d, ok := s.tags[name]; ok {
		return d, nil
	}
	return "", ErrNone
}

func (s *store) Manifest(_ context.Context, _ wire.TemplateName, d wire.Digest) ([]byte, error) {
	if raw, ok := s.blobs[d]; ok {
		return raw, nil
	}
	return nil, ErrNone
}

func (s *store) Blob(_ context.Context, _ wire.TemplateName, d wire.Digest) (io.ReadCloser, error) {
	s.reads++
	if raw, ok := s.blobs[d]; ok {
		return io.NopCloser(bytes.NewReader(raw)), nil
	}
	return nil, ErrNone
}

func layerTar(files ...string) []byte {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for i := 0; i < len(files); i += 2 {
		w.WriteHeader(&tar.Header{Name: files[i], Typeflag: tar.TypeReg, Mode: 0o755, Size: int64(len(files[i+1])),
			ModTime: time.Unix(1e9, 0)})
		io.WriteString(w, files[i+1])
	}
	w.Close()
	return b.Bytes()
}

func pack(media types.MediaType, raw []byte) []byte {
	var b bytes.Buffer
	switch media {
	case types.OCILayer, types.DockerLayer:
		z := gzip.NewWriter(&b)
		z.Write(raw)
		z.Close()
	case types.OCILayerZStd:
		z, _ := zstd.NewWriter(&b)
		z.Write(raw)
		z.Close()
	default:
		return raw
	}
	return b.Bytes()
}

// push stores an image of the layers; change may spoil its parts before they are stored.
func (s *store) push(name wire.TemplateName, media types.MediaType, change func(*v1.ConfigFile, *v1.Manifest), layers ...[]byte) {
	cfg := v1.ConfigFile{OS: "linux", Architecture: runtime.GOARCH,
		Config: v1.Config{Entrypoint: []string{"/bin/run"}, Cmd: []string{"-v"}}}
	m := v1.Manifest{SchemaVersion: 2, MediaType: types.OCIManifestSchema1}
	for _, l := range layers {
		packed := pack(media, l)
		sum := sha256.Sum256(l)
		cfg.RootFS.DiffIDs = append(cfg.RootFS.DiffIDs, v1.Hash{Algorithm: "sha256", Hex: fmt.Sprintf("%x", sum)})
		m.Layers = append(m.Layers, v1.Descriptor{MediaType: media, Size: int64(len(packed)), Digest: s.put(packed)})
	}
	if change != nil {
		change(&cfg, &m)
	}
	raw, _ := json.Marshal(cfg)
	if m.Config.MediaType == "" {
		m.Config.MediaType = types.OCIConfigJSON
	}
	m.Config.Size, m.Config.Digest = int64(len(raw)), s.put(raw)
	raw, _ = json.Marshal(m)
	s.tags[name] = wire.Digest(s.put(raw).String())
}

func newImporter(t *testing.T, s Source) (*Importer, string) {
	t.Helper()
	dir := t.TempDir()
	c, err := catalog.Open(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	now := func() time.Time { return time.Unix(1e9, 0) }
	return &Importer{Source: s, Catalog: c, States: OpenStates(filepath.Join(t.TempDir(), "imports.json"), nil, now),
		Limits: flatten.DefaultLimits, Now: now}, dir
}

func TestImport(t *testing.T) {
	base, top := layerTar("bin/run", "#!elf", "etc/passwd", "www-data:x:33:34::/:/x\n", "old", "gone"),
		layerTar(".wh.old", "", "new", "here")
	var digests []wire.Digest
	for _, media := range []types.MediaType{types.OCILayerZStd, types.OCILayer, types.DockerLayer, types.OCIUncompressedLayer} {
		s := newStore()
		s.push("web:1", media, func(c *v1.ConfigFile, _ *v1.Manifest) {
			c.Config.User, c.Config.Env, c.Config.StopSignal, c.Config.WorkingDir = "www-data", []string{"A=b=c"}, "3", "/srv"
			c.Config.Labels = map[string]string{host.LabelHTTPPort: "8080", host.LabelCheckPath: "/up"}
		}, base, top)
		im, dir := newImporter(t, s)
		got, err := im.Import(context.Background(), "web:1")
		if err != nil {
			t.Fatalf("%s: %v", media, err)
		}
		want := host.Process{Argv: []string{"/bin/run", "-v"}, Env: map[string]string{"A": "b=c", "HOME": "/"}, Cwd: "/srv", UID: 33,
			GID: 34, StopWith: "SIGQUIT"}
		if fmt.Sprint(got.Process) != fmt.Sprint(want) || got.HTTPPort != 8080 || *got.Check != (host.Check{Port: 8080, Path: "/up"}) {
			t.Errorf("%s: got %+v, want the process %+v", media, got, want)
		}
		raw, err := os.ReadFile(filepath.Join(dir, got.Digest.Hex()+".erofs"))
		if err != nil || wire.DigestOf(sha256.Sum256(raw)) != got.Digest || int64(len(raw)) != got.Bytes {
			t.Errorf("%s: the file is not what the record says: %v", media, err)
		}
		if bytes.Contains(raw, []byte("gone")) || !bytes.Contains(raw, []byte("here")) {
			t.Errorf("%s: the image has a hidden file, or lacks one", media)
		}
		again, _ := newImporter(t, s)
		twice, err := again.Import(context.Background(), "web:1")
		if err != nil || twice.Digest != got.Digest {
			t.Errorf("%s: a second import gives %s, want %s (%v)", media, twice.Digest, got.Digest, err)
		}
		digests = append(digests, got.Digest)
		reads := s.reads
		s.tags["other:2"] = s.tags["web:1"]
		if o, err := im.Import(context.Background(), "other:2"); err != nil || o.Digest != got.Digest || s.reads != reads {
			t.Errorf("%s: the same image under another name was read again: %d reads, %v", media, s.reads-reads, err)
		}
		if _, err := im.Import(context.Background(), "web:1"); err != nil || s.reads != reads {
			t.Errorf("%s: an imported image was read again (%v)", media, err)
		}
	}
	if digests[0] == digests[1] {
		t.Error("images of different manifests share an identity")
	}
}

func TestImportRefuses(t *testing.T) {
	good := layerTar("bin/run", "x")
	bomb := make([]byte, 10<<20)
	for _, c := range []struct {
		name   string
		change func(*store, *v1.ConfigFile, *v1.Manifest)
		layer  []byte
		want   string
	}{
		{"other layer content", func(s *store, _ *v1.ConfigFile, m *v1.Manifest) {
			s.blobs[wire.Digest(m.Layers[0].Digest.String())] = pack(types.OCILayerZStd, layerTar("bin/run", "evil"))
		}, good, "unpack"},
		{"other content behind the same diff id", func(_ *store, c *v1.ConfigFile, _ *v1.Manifest) {
			c.RootFS.DiffIDs[0].Hex = strings.Repeat("0", 64)
		}, good, "hashes to"},
		{"size smaller than the blob", func(_ *store, _ *v1.ConfigFile, m *v1.Manifest) { m.Layers[0].Size = 3 }, good, "unpack"},
		{"negative size", func(_ *store, _ *v1.ConfigFile, m *v1.Manifest) { m.Layers[0].Size = -5 }, good, ""},
		{"size larger than the blob", func(_ *store, _ *v1.ConfigFile, m *v1.Manifest) { m.Layers[0].Size += 5 }, good,
			"its descriptor says"},
		{"artifact", func(_ *store, _ *v1.ConfigFile, m *v1.Manifest) {
			m.Config.MediaType = "application/vnd.cncf.helm.config.v1+json"
		}, good, "artifact of type \"application/vnd.cncf.helm"},
		{"no platform", func(_ *store, c *v1.ConfigFile, _ *v1.Manifest) { c.OS, c.Architecture = "", "" }, good, "an unnamed system"},
		{"user over all", func(_ *store, c *v1.ConfigFile, _ *v1.Manifest) { c.Config.User = "4294967295" }, good, "user number"},
		{"layer missing", func(s *store, _ *v1.ConfigFile, m *v1.Manifest) {
			delete(s.blobs, wire.Digest(m.Layers[0].Digest.String()))
		}, good, "no such"},
		{"layer counts differ", func(_ *store, c *v1.ConfigFile, _ *v1.Manifest) { c.RootFS.DiffIDs = nil }, good, "0"},
		{"other architecture", func(_ *store, c *v1.ConfigFile, _ *v1.Manifest) { c.Architecture = "s390x" }, good, "s390x"},
		{"nothing to run", func(_ *store, c *v1.ConfigFile, _ *v1.Manifest) { c.Config.Entrypoint, c.Config.Cmd = nil, nil }, good,
			"nothing to run"},
		{"unknown user", func(_ *store, c *v1.ConfigFile, _ *v1.Manifest) { c.Config.User = "nobody" }, good, "/etc/passwd"},
		{"unknown signal", func(_ *store, c *v1.ConfigFile, _ *v1.Manifest) { c.Config.StopSignal = "SIGWHAT" }, good, "stop signal"},
		{"bad port", func(_ *store, c *v1.ConfigFile, _ *v1.Manifest) {
			c.Config.Labels = map[string]string{host.LabelHTTPPort: "99999"}
		}, good, "no port"},
		{"check path with a blank", func(_ *store, c *v1.ConfigFile, _ *v1.Manifest) {
			c.Config.Labels = map[string]string{host.LabelHTTPPort: "80", host.LabelCheckPath: "/a b"}
		}, good, "as it stands in a request"},
		{"check path with a line end", func(_ *store, c *v1.ConfigFile, _ *v1.Manifest) {
			c.Config.Labels = map[string]string{host.LabelHTTPPort: "80", host.LabelCheckPath: "/a\r\nX: y"}
		}, good, "as it stands in a request"},
		{"foreign layer", func(_ *store, _ *v1.ConfigFile, m *v1.Manifest) { m.Layers[0].MediaType = types.OCIRestrictedLayer }, good,
			"not in the registry"},
		{"unknown media type", func(_ *store, _ *v1.ConfigFile, m *v1.Manifest) { m.Layers[0].MediaType = "text/plain" }, good,
			"not known"},
		{"wrong compression", func(_ *store, _ *v1.ConfigFile, m *v1.Manifest) { m.Layers[0].MediaType = types.OCILayer }, good, "gzip"},
		{"bomb", nil, bomb, "unpack to more than"},
		{"escape", nil, layerTar("../../etc/passwd", "x"), "leads out"},
		{"config that is none", func(s *store, c *v1.ConfigFile, m *v1.Manifest) { c.OS = "windows" }, good, "windows"},
	} {
		s := newStore()
		s.push("web:1", types.OCILayerZStd, func(cf *v1.ConfigFile, m *v1.Manifest) {
			if c.change != nil {
				c.change(s, cf, m)
			}
		}, c.layer)
		im, dir := newImporter(t, s)
		im.Limits.Archive = 9 << 20
		_, err := im.Import(context.Background(), "web:1")
		if err == nil || !strings.Contains(err.Error(), c.want) || !errors.Is(err, flatten.ErrImage) && !errors.Is(err, ErrNone) {
			t.Errorf("%s: got %v, want an ErrImage with %q", c.name, err, c.want)
		}
		if left, _ := filepath.Glob(filepath.Join(dir, "*")); len(left) > 0 || len(im.Catalog.List()) > 0 {
			t.Errorf("%s: left %v", c.name, left)
		}
	}
}

// TestMend: a file the disk has damaged is made anew when a person imports the image again, and only then.
func TestMend(t *testing.T) {
	s := newStore()
	s.push("web:1", types.OCILayerZStd, nil, layerTar("bin/run", "x"))
	im, dir := newImporter(t, s)
	if _, err := im.Mend(t.Context(), "web:2"); !errors.Is(err, ErrNone) {
		t.Errorf("got %v, want ErrNone", err)
	}
	first, err := im.Mend(t.Context(), "web:1")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, first.Digest.Hex()+".erofs")
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	reads := s.reads
	if _, err := im.Mend(t.Context(), "web:1"); err != nil || s.reads != reads {
		t.Errorf("a whole image was made anew: %v", err)
	}
	torn := bytes.Clone(whole)
	torn[len(torn)/2] ^= 1
	if err := os.WriteFile(path, torn, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := im.Import(t.Context(), "web:1"); err != nil || s.reads != reads {
		t.Errorf("import read the image again: %v", err)
	}
	again, err := im.Mend(t.Context(), "web:1")
	if err != nil || again.Digest != first.Digest {
		t.Fatalf("got %s, %v, want %s", again.Digest, err, first.Digest)
	}
	if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, whole) {
		t.Errorf("the file is not whole again: %v", err)
	}
	if list := im.Catalog.List(); len(list) != 1 {
		t.Errorf("the catalog lists %+v", list)
	}
}

func TestImportUnknownName(t *testing.T) {
	im, _ := newImporter(t, newStore())
	if _, err := im.Import(context.Background(), "web:1"); !errors.Is(err, ErrNone) {
		t.Errorf("got %v, want ErrNone", err)
	}
}

func TestSignal(t *testing.T) {
	for in, want := range map[string]string{"": "", "SIGQUIT": "SIGQUIT", "quit": "SIGQUIT", "15": "SIGTERM", "SIGRTMIN+3": "SIGRTMIN+3",
		"SIGRTMIN+99": "err", "999": "err"} {
		got, err := signal(in)
		if err != nil {
			got = "err"
		}
		if got != want {
			t.Errorf("signal %q: got %s, want %s", in, got, want)
		}
	}
}

func TestTimeFor(t *testing.T) {
	for packed, want := range map[int64]time.Duration{0: Time, 1 << 20: Time + 8*time.Second, 113 << 20: Time + 904*time.Second,
		8 << 30: Time + 65536*time.Second} {
		if got := timeFor(packed); got != want {
			t.Errorf("%d bytes have %v, want %v", packed, got, want)
		}
	}
}
