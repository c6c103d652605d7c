package system

import (
	"errors"
	"strings"
	"testing"

	"hardnode.dev/internal/testkit/released"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/internal/wire/release"
	"hardnode.dev/internal/wire/slots"
)

// TestVet: a host that was booted from the network is kept away by an image that is known to be another one than its release's, by nothing
// that can't be known, and asks again when it could not ask.
func TestVet(t *testing.T) {
	const own, other = wire.Digest("sha256:" + "00000000000000000000000000000000000000000000000000000000000000aa"),
		wire.Digest("sha256:" + "00000000000000000000000000000000000000000000000000000000000000bb")
	away := errors.New("no route to host")
	for _, c := range []struct {
		name string
		do   func(*machine)
		root wire.Digest // that the manifest names; "": there is no manifest
		want string      // "": it joins
	}{
		{"its own image", func(*machine) {}, own, ""},
		{"another image", func(*machine) {}, other, "another image than that of release 1.0.0, which both repositories name: sha256:"},
		{"another image, from a disk", func(m *machine) { m.o.Net = false }, other, ""},
		{"a release that is not named", func(m *machine) { m.o.Version = "0.9.0" }, other, ""},
		{"a release without a manifest", func(*machine) {}, "", ""},
		{"no trust roots", func(m *machine) { m.noTrust = true }, other, ""},
		{"metadata that ended", func(m *machine) { m.now = m.now.AddDate(1, 0, 0) }, other, ""},
		{"metadata of others", func(m *machine) { m.anchors = released.Both(m.t, here, m.now.AddDate(0, 1, 0)).Anchors() }, other, ""},
		{"the orchestrator is away", func(m *machine) {
			m.meddle = func(string, []byte) ([]byte, error) { return nil, away }
		}, other, "no route to host"},
		{"it goes away half-way", func(m *machine) {
			m.meddle = func(path string, raw []byte) ([]byte, error) {
				if strings.Contains(path, "release-files") {
					return nil, away
				}
				return raw, nil
			}
		}, other, "no route to host"},
		{"it has much to do", func(m *machine) {
			m.meddle = func(path string, _ []byte) ([]byte, error) {
				return nil, operator.NewProblem(operator.Unavailable, path, "8 hosts read releases at this moment", "try again in a moment")
			}
		}, other, "8 hosts read releases"},
		{"an orchestrator that serves none", func(m *machine) {
			m.meddle = func(path string, _ []byte) ([]byte, error) {
				return nil, operator.NewProblem(operator.NotFound, path, "the host API has no GET here", "")
			}
		}, other, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := newMachine(t)
			m.is, m.o.Net = slots.Status{}, true
			m.image = func() (wire.Digest, error) { return own, nil }
			if c.root == "" {
				m.Release(t, "1.0.0", "vm-host.initrd", "x")
			} else {
				text, err := (&release.Manifest{Version: 1, Release: "1.0.0", Channel: release.Stable, Severity: release.Normal,
					Arch: release.Arch, Artefacts: []release.Artefact{{Name: "vm-host.initrd", Kind: release.Initrd, Target: release.VM,
						Profile: release.Host, Bytes: 1, Digest: other, Root: c.root}}}).Encode()
				if err != nil {
					t.Fatal(err)
				}
				m.Release(t, "1.0.0", release.ManifestFile, string(text))
			}
			c.do(m)
			err := m.Vet(t.Context())
			if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, want %q", err, c.want)
			}
		})
	}
}
