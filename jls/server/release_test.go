package server_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"hardnode.dev/internal/release/trust"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/jls"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/jls/keys"
)

// TestDirector: an owner says which release an installation shall have; the installation asks, a client believes the answer by the pin that
// `jls director init` printed, and another installation's answer is refused.
func TestDirector(t *testing.T) {
	s := newSite(t)
	dir := filepath.Join(t.TempDir(), "keys")
	_, err := keys.Init(dir, s.now)
	s.must(err)
	pin, err := keys.InitDirector(dir, s.now)
	s.must(err)
	if _, err := keys.InitDirector(dir, s.now); err == nil || !strings.Contains(err.Error(), "renew") {
		t.Errorf("a second director: %v", err)
	}
	cfg, err := keys.Load(dir)
	s.must(err)
	admin := "Bearer " + s.token
	mine := s.activated("in-00000000000000aa", "cl-00000000000000aa")
	ask := func() (jls.DirectorReply, *operator.Problem) {
		var got jls.DirectorReply
		p, _ := s.call("POST", jls.PathDirector, mine.seal(t, jls.PathDirector), &got)
		return got, p
	}
	if _, p := ask(); p == nil || !strings.Contains(p.Next, "jls director init") {
		t.Errorf("a server without a director: %v", p)
	}
	s.direct(cfg.Director)
	one := jls.ReleaseFile{Path: "1.0.0/host.efi", Release: "1.0.0", Length: 3, Digest: "sha256:" + wire.Digest(strings.Repeat("a", 64))}
	two := one
	two.Path, two.Release = "1.1.0/host.efi", "1.1.0"
	var list jls.Releases
	offer := func(files ...jls.ReleaseFile) *operator.Problem {
		p, _ := s.call("PUT", jls.PathReleases, jls.Offer{Files: files}, &list, admin)
		return p
	}
	assign := func(id string, releases ...string) *operator.Problem {
		p, _ := s.call("PUT", jls.PathInstallations+"/"+id+"/releases", jls.Assign{Releases: releases}, &list, admin)
		return p
	}
	if p := offer(one, two); p != nil || len(list.Files) != 2 {
		t.Fatalf("offer: %v %v", p, list)
	}
	if p := assign("in-00000000000000aa", "7.0.0"); p == nil || !strings.Contains(p.Next, "release offer") {
		t.Errorf("a release that is not offered: %v", p)
	}
	if p := assign("in-00000000000000cc", "1.0.0"); p == nil || p.Status != http.StatusNotFound {
		t.Errorf("a stranger: %v", p)
	}
	if p := assign("in-00000000000000aa", "1.0.0"); p != nil {
		t.Fatal(p)
	}
	if p := offer(two); p == nil || !strings.Contains(p.Reason, "1.0.0") {
		t.Errorf("an assigned release is not offered any more: %v", p)
	}
	anchor := trust.Anchor{Name: trust.Director, Pin: pin, Installation: "cl-00000000000000aa"}
	look := func(kept trust.Kept, want ...string) trust.Kept {
		t.Helper()
		got, p := ask()
		if p != nil {
			t.Fatal(p)
		}
		r, next, err := trust.Refresh(context.Background(), trust.Files(got.Files), anchor, kept, s.now)
		if err != nil {
			t.Fatal(err)
		}
		if len(r.Targets) != len(want) {
			t.Errorf("it names %v, want %v", r.Targets, want)
		}
		for _, w := range want {
			if _, ok := r.Targets[w]; !ok {
				t.Errorf("it names %v, want %v", r.Targets, want)
			}
		}
		return next
	}
	kept := look(trust.Kept{}, "1.0.0/host.efi")
	if again := look(kept, "1.0.0/host.efi"); !bytes.Equal(again.Timestamp, kept.Timestamp) {
		t.Error("asked twice within a moment it signs twice")
	}
	if p := assign("in-00000000000000aa", "1.0.0", "1.1.0"); p != nil {
		t.Fatal(p)
	}
	kept = look(kept, "1.0.0/host.efi", "1.1.0/host.efi")
	s.now = s.now.Add(40 * 24 * time.Hour)
	s.stop()
	s.start() // it remembers its counters
	s.direct(cfg.Director)
	kept = look(kept, "1.0.0/host.efi", "1.1.0/host.efi")

	_, err = keys.RenewDirector(dir, s.now)
	s.must(err)
	cfg, err = keys.Load(dir)
	s.must(err)
	s.direct(cfg.Director)
	if p := assign("in-00000000000000aa", "1.1.0"); p != nil {
		t.Fatal(p)
	}
	look(kept, "1.1.0/host.efi")

	other := s.activated("in-00000000000000bb", "cl-00000000000000bb")
	var theirs jls.DirectorReply
	if p, _ := s.call("POST", jls.PathDirector, other.seal(t, jls.PathDirector), &theirs); p != nil {
		t.Fatal(p)
	}
	if _, _, err := trust.Refresh(context.Background(), trust.Files(theirs.Files), anchor, trust.Kept{}, s.now); err == nil {
		t.Error("another installation's metadata is believed")
	}
	stolen := installation{other.key, mine.id, time.Now().Add(time.Hour).UnixNano()}
	if p, _ := s.call("POST", jls.PathDirector, stolen.seal(t, jls.PathDirector), &theirs); p == nil || p.Status != http.StatusForbidden {
		t.Errorf("another's key: %v", p)
	}
	var closed jls.DirectorReply
	if p, _ := s.call("GET", jls.PathInstallations+"/in-00000000000000aa/director", nil, &closed, admin); p != nil {
		t.Fatal(p)
	}
	r, _, err := trust.Refresh(context.Background(), trust.Files(closed.Files), anchor, kept, s.now.Add(179*24*time.Hour))
	if err != nil || len(r.Targets) != 1 {
		t.Errorf("for a closed site: %v %v", r.Targets, err)
	}
	if p, _ := s.call("GET", jls.PathInstallations+"/in-00000000000000aa/director", nil, &closed); p == nil {
		t.Error("anybody may export")
	}
}

// installation is one that was activated, with its key.
type installation struct {
	key ed25519.PrivateKey
	id  jls.InstallationID
	seq int64
}

func (i *installation) seal(t *testing.T, path string) jls.Signed {
	t.Helper()
	i.seq++
	in, err := jls.Seal(path, i.key, jls.Direct{Head: jls.Head{Installation: i.id, Seq: i.seq}})
	if err != nil {
		t.Fatal(err)
	}
	return in
}

func (s *site) activated(id jls.InstallationID, cluster wire.ClusterID) installation {
	s.t.Helper()
	_, key, err := ed25519.GenerateKey(nil)
	s.must(err)
	token, _ := s.sell(2, 365)
	in, err := jls.Seal(jls.PathActivate, key, jls.Activate{Head: jls.Head{Installation: id, Seq: 1}, License: token, Cluster: cluster,
		Name: "demo", Version: "0", Key: key.Public().(ed25519.PublicKey)})
	s.must(err)
	if p, _ := s.call("POST", jls.PathActivate, in, &jls.LeaseReply{}); p != nil {
		s.t.Fatal(p)
	}
	return installation{key, id, 1}
}

// direct starts the server anew with a director.
func (s *site) direct(d *jls.Director) {
	s.http.Close()
	s.http = s.serve(d)
}
