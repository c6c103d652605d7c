package system

import (
	"crypto/sha256"
	"errors"
	"strings"
	"testing"
	"time"

	"hardnode.dev/internal/release/trust"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
)

// TestComponent: a component's image is read if both repositories name it, and refused otherwise, with the reason.
func TestComponent(t *testing.T) {
	const content = "the registry of 1.1.0"
	img := host.Image{Name: "jelastic/registry", Digest: wire.DigestOf(sha256.Sum256([]byte(content))), Bytes: int64(len(content))}
	for _, c := range []struct {
		name string
		mend func(m *machine)
		want string // in the error; "": it is read
	}{
		{"both name it", func(*machine) {}, ""},
		{"nobody does", func(*machine) { img.Bytes++ }, "no release that both repositories name has the image"},
		{"the director does not", func(m *machine) { m.Director.Publish(t, m.target(m, "1.0.0")...) }, "no release that both"},
		{"no pins", func(m *machine) { m.noTrust = true }, "no trust roots"},
		{"metadata that ended", func(m *machine) { m.now = m.now.Add(400 * 24 * time.Hour) }, "was good until"},
		{"a mirror that alters it", func(m *machine) {
			m.meddle = func(path string, raw []byte) ([]byte, error) {
				if strings.HasSuffix(path, "targets.json") {
					raw = append([]byte(" "), raw...)
				}
				return raw, nil
			}
		}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			m, was := newMachine(t), img
			defer func() { img = was }()
			m.publish("1.0.0")
			m.Release(t, "1.1.0", "registry.erofs", content)
			c.mend(m)
			read, err := m.Component(t.Context(), img)
			if c.name == "a mirror that alters it" {
				if err == nil {
					t.Error("altered metadata was believed")
				}
				return
			}
			if c.want != "" {
				if err == nil || !strings.Contains(err.Error(), c.want) {
					t.Errorf("got %v, want an error with %q", err, c.want)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			raw, err := read(t.Context(), 4, 8)
			if err != nil || string(raw) != content[4:12] {
				t.Errorf("read %q, %v", raw, err)
			}
			if _, err := read(t.Context(), 4, len(content)); err == nil {
				t.Error("fewer bytes than were asked for are no error")
			}
		})
	}
	var r *trust.Refusal
	m := newMachine(t)
	m.publish("1.0.0")
	if _, err := m.Component(t.Context(), img); !errors.As(err, &r) || r.Next == "" {
		t.Errorf("a refusal without a next step: %v", err)
	}
}

// target is what both name of a release.
func (m *machine) target(_ *machine, version string) (out []trust.Target) {
	for _, t := range m.Targets() {
		if t.Custom.Release == version {
			out = append(out, t)
		}
	}
	return out
}
