package bundle_test

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"

	"hardnode.dev/internal/release/bundle"
	"hardnode.dev/internal/release/trust"
)

func sample(t testing.TB) []byte {
	t.Helper()
	m := bundle.Metadata{Image: trust.Files{"1.root.json": []byte("ir"), "timestamp.json": []byte("it")},
		Director: trust.Files{"1.root.json": []byte("dr")}}
	f := trust.Target{Path: "1.0.0/a.efi", Length: 3, Digest: "sha256:aa"}
	var out bytes.Buffer
	err := bundle.Write(&out, m, []trust.Target{f}, func(trust.Target) (io.ReadCloser, error) {
		return io.NopCloser(strings.NewReader("one")), nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func read(raw []byte) (m bundle.Metadata, files map[string]string, err error) {
	r, m, err := bundle.Open(bytes.NewReader(raw))
	if err != nil {
		return m, nil, err
	}
	files = map[string]string{}
	for {
		name, content, err := r.Next()
		if errors.Is(err, io.EOF) {
			return m, files, nil
		}
		if err != nil {
			return m, files, err
		}
		text, err := io.ReadAll(content)
		if err != nil {
			return m, files, err
		}
		files[name] = string(text)
	}
}

func TestBundle(t *testing.T) {
	raw := sample(t)
	m, files, err := read(raw)
	if err != nil || string(m.Image["timestamp.json"]) != "it" || string(m.Director["1.root.json"]) != "dr" ||
		files["1.0.0/aa.a.efi"] != "one" || len(files) != 1 {
		t.Errorf("got %v %v %v", m, files, err)
	}
	for _, n := range []int{0, 100, 512, 700, 1600, 3000, len(raw) - 1600} {
		if _, _, err := read(raw[:n]); err == nil {
			t.Errorf("%d of %d bytes are taken for a whole bundle", n, len(raw))
		} else {
			t.Logf("%d bytes: %v", n, err)
		}
	}
	for what, change := range map[string][2]string{"a way up": {"image/metadata/1.root.json", "image/metadata/../oot.json"},
		"another folder": {"director/metadata/1.root.json", "directer/metadata/1.root.json"},
		"twice":          {"image/metadata/timestamp.json", "image/metadata/1.root.json\x00\x00\x00"}} {
		if _, _, err := read(bytes.Replace(raw, []byte(change[0]), []byte(change[1]), 1)); err == nil {
			t.Errorf("%s: is taken", what)
		}
	}
}

func FuzzOpen(f *testing.F) {
	f.Add(sample(f))
	f.Fuzz(func(t *testing.T, raw []byte) { read(raw) })
}
