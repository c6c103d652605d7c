package seed

import (
	"bytes"
	"crypto/x509"
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"hardnode.dev/internal/identity"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/boot"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/orchestrator/env"
	"hardnode.dev/orchestrator/store"
)

func good(t testing.TB) boot.OrchestratorSeed {
	t.Helper()
	id := wire.ClusterID("cl-0123456789abcdef")
	root, err := identity.NewRoot(id, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	issuing, err := root.Issue(id, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	key, err := x509.MarshalPKCS8PrivateKey(issuing.Key)
	if err != nil {
		t.Fatal(err)
	}
	return boot.OrchestratorSeed{Version: 1, Cluster: id, Name: "demo", Domain: "demo.test", Range4: "10.96.0.0/12", RootCA: root.Cert.Raw,
		IssuingCA: issuing.Cert.Raw, IssuingKey: key,
		Gossip: make([]byte, 32), AdminToken: "sha256:" + strings.Repeat("0", 64), Infra: boot.InfraHost{Block4: "10.96.0.0/24"},
		LicenseKey: make([]byte, 32),
		Work: host.Work{Version: 1, Revision: 4,
			Containers: []host.Container{{CTID: 1, Env: "jelastic", Component: "registry",
				Limits: host.Limits{MemoryMin: 1, MemoryMax: 300 << 20}}}}}
}

func TestDecode(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*boot.OrchestratorSeed)
		want   string // part of the error; "" is good
	}{
		{"good", func(*boot.OrchestratorSeed) {}, ""},
		{"version", func(s *boot.OrchestratorSeed) { s.Version = 2 }, "version 2"},
		{"cluster", func(s *boot.OrchestratorSeed) { s.Cluster = "x" }, "cluster id"},
		{"domain", func(s *boot.OrchestratorSeed) { s.Domain = "Demo.test" }, "domain"},
		{"range", func(s *boot.OrchestratorSeed) { s.Range4 = "10.96.0.0" }, "range4"},
		{"licence key", func(s *boot.OrchestratorSeed) { s.LicenseKey = nil }, "licenseKey"},
		{"plain admin token", func(s *boot.OrchestratorSeed) { s.AdminToken = "secret" }, "adminToken"},
		{"gossip key", func(s *boot.OrchestratorSeed) { s.Gossip = nil }, "gossip"},
		{"infra block", func(s *boot.OrchestratorSeed) { s.Infra.Block4 = "" }, "infra.block4"},
		{"other root", func(s *boot.OrchestratorSeed) { s.RootCA = good(t).RootCA }, "not signed by the root CA"},
		{"other key", func(s *boot.OrchestratorSeed) { s.IssuingKey = good(t).IssuingKey }, "does not belong to the issuing CA"},
	} {
		s := good(t)
		c.change(&s)
		raw, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Decode(raw); (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want an error with %q", c.name, err, c.want)
		}
	}
	raw, _ := json.Marshal(good(t))
	if _, err := Decode(append(raw, '1')); err == nil {
		t.Error("trailing data is accepted")
	}
	if _, err := Decode(bytes.Replace(raw, []byte(`"domain"`), []byte(`"domian"`), 1)); err == nil ||
		!strings.Contains(err.Error(), `"domain" is missing`) {
		t.Errorf("a missing field: %v", err)
	}
}

func TestImport(t *testing.T) {
	st, err := store.Open(t.Context(), store.Options{Dir: filepath.Join(t.TempDir(), "s"), Unsafe: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(st.Close)
	load := func(s boot.OrchestratorSeed) error {
		raw, _ := json.Marshal(s)
		seed, err := Decode(raw)
		if err != nil {
			return err
		}
		_, err = st.Update(t.Context(), func(tx *store.Tx) error { return seed.Import(tx, time.Now()) })
		return err
	}
	bad := good(t)
	bad.Work.Containers[0].CTID = 100
	if err := load(bad); err == nil || store.Clusters.Len(st.View()) != 0 {
		t.Errorf("a user's container in the first assignment: %v", err)
	}
	s := good(t)
	if err := load(s); err != nil {
		t.Fatal(err)
	}
	n, _ := store.Nodes.Get(st.View(), "1")
	if n.Container.Component != "registry" || n.Host != "" || n.Cloudlets != (wire.Cloudlets{Reserved: 1, Dynamic: 3}) {
		t.Errorf("component: %+v", n)
	}
	e, ok := store.Envs.Get(st.View(), string(env.System))
	if !ok || !e.System || len(e.Spec.Layers) != 1 {
		t.Fatalf("jelastic: %+v", e)
	}
	if l := e.Spec.Layers[0]; n.Layer != l.Name || n.Container.Image.Name != l.Template || l.Name != "registry" {
		t.Errorf("the node is of layer %q with template %q, its environment's spec says %+v", n.Layer, n.Container.Image.Name, l)
	}
	rev := st.View().Revision()
	s.Name = "other"
	if err := load(s); err != nil || st.View().Revision() != rev {
		t.Errorf("imported twice: %v", err)
	}
	s = good(t)
	s.Cluster = "cl-ffffffffffffffff"
	if err := load(s); err == nil || !strings.Contains(err.Error(), "the store belongs to cluster cl-0123456789abcdef") {
		t.Errorf("another cluster's seed: %v", err)
	}
}

func FuzzDecode(f *testing.F) {
	raw, _ := json.Marshal(good(f))
	f.Add(raw)
	f.Add([]byte(`{"version":1}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		if s, err := Decode(raw); err == nil && s.Authority == nil {
			t.Error("a seed without its authority was accepted")
		}
	})
}
