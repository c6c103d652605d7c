//go:build qemu

package story

import (
	"crypto/ed25519"
	"os"
	"path/filepath"
	"strings"
	"time"

	"hardnode.dev/internal/license"
	"hardnode.dev/internal/license/issue"
	"hardnode.dev/internal/wire/jls"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/qemu-tests/cluster"
)

// signer is the cluster's own licence server's.
func (s story) signer() issue.Signer {
	s.Helper()
	raw, err := os.ReadFile(filepath.Join(s.Dir, "jls", "jls.json"))
	if err != nil {
		s.Fatal(err)
	}
	c, err := jls.DecodeConfig(raw)
	if err != nil {
		s.Fatal(err)
	}
	return issue.Signer{Key: ed25519.NewKeyFromSeed(c.SigningKey), Cert: c.SigningFor}
}

// sign makes a licence that lasts from one time to another, from now on the clock that will judge it.
func (s story) sign(g issue.Signer, hosts int, from, to time.Duration) (id, text string) {
	s.Helper()
	now, err := s.Clock(s.Context())
	if err != nil {
		s.Fatal(err)
	}
	id = issue.NewID("lic-")
	text, err = g.License(license.License{ID: id, Customer: "Demo", Hosts: hosts, Issued: now.Add(from), Expires: now.Add(to)})
	if err != nil {
		s.Fatal(err)
	}
	return id, text
}

func (s story) licence() (l operator.License) {
	s.Helper()
	if err := s.Get(s.Context(), &l, "license", "show"); err != nil {
		s.Fatal(err)
	}
	return l
}

// badLicences: a licence that doesn't verify is refused, and the one in force stays.
func badLicences(s story) {
	before, hello := s.licence(), s.settled("hello")
	good, err := os.ReadFile(filepath.Join(s.Dir, "jls", "demo.licence"))
	if err != nil {
		s.Fatal(err)
	}
	text := strings.TrimSpace(string(good))
	at := len("v4.public.") + 60
	other := "A"
	if text[at:at+1] == other {
		other = "B"
	}
	forged := text[:at] + other + text[at+1:]
	oldID, old := s.sign(s.signer(), 9, -20*time.Second, -time.Second) // the signing key is no older than the cluster
	soonID, soon := s.sign(s.signer(), 9, time.Hour, 48*time.Hour)
	_, stranger, err := ed25519.GenerateKey(nil)
	if err != nil {
		s.Fatal(err)
	}
	cert, err := issue.Certify(stranger, stranger.Public().(ed25519.PublicKey), time.Now().Add(-time.Hour), time.Now().Add(time.Hour))
	if err != nil {
		s.Fatal(err)
	}
	_, foreign := s.sign(issue.Signer{Key: stranger, Cert: cert}, 9, -time.Minute, time.Hour)
	for _, row := range []struct {
		name, text string
		want       []string
	}{
		{"bad signature", forged,
			[]string{"licence: signature does not match", "next: check that the text is complete and unchanged; the one in force stays"}},
		{"expired", old, []string{oldID + " of Demo", "has expired: it ended at", "next: ask for a new licence; the one in force stays"}},
		{"not valid yet", soon, []string{soonID + " of Demo", "is not valid yet", "next: "}},
		{"another root", foreign, []string{"comes from another licence root", "next: "}},
		{"no licence", "hello", []string{"token is malformed", "next: "}},
	} {
		file := filepath.Join(s.TempDir(), "bad.licence")
		if err := os.WriteFile(file, []byte(row.text+"\n"), 0o600); err != nil {
			s.Fatal(err)
		}
		out, err := s.HNCTL(s.Context(), "license", "set", file)
		if err == nil {
			s.Errorf("%s: was accepted: %s", row.name, out)
			continue
		}
		for _, w := range row.want {
			if !strings.Contains(err.Error(), w) {
				s.Errorf("%s: the answer doesn't say %q: %v", row.name, w, err)
			}
		}
		if p, err := s.Refusal(s.Context(), "PUT", "/license", operator.LicenseText{Text: row.text}); err != nil ||
			p.Code != operator.Invalid || p.Object != "licence" {
			s.Errorf("%s: the API answers %+v, %v", row.name, p, err)
		}
	}
	if after := s.licence(); after.ID != before.ID || after.State != before.State || after.Hosts != before.Hosts {
		s.Errorf("licence %+v became %+v", before, after)
	}
	s.sameNodes(hello, s.settled("hello"))
}

// endingLicence: a licence that covers fewer hosts, and then ends, stops nothing; another one takes its place.
func endingLicence(s story) {
	hello := s.settled("hello")
	v, begin := s.visitor(100*time.Millisecond), time.Now()
	id, _ := s.oneHost(3 * time.Second)
	var l operator.License
	s.until("the licence has ended", func() bool { l = s.licence(); return l.State == "due" })
	if l.ID != id || l.State != "due" || !strings.Contains(l.Reason, "the licence ended; it was good until") {
		s.Errorf("the licence that ended is %+v", l)
	}
	s.figure("licence that ended: %s, %s", l.State, l.Reason)
	s.sameNodes(hello, s.settled("hello"))
	s.bothHosts()
	if bad := failed(v.stop(), begin); len(bad) > 0 {
		s.Errorf("pages failed for a licence: %q", bad)
	}
}

// oneHost sets a licence for one host that lasts so long, and returns its id and the machine it covers.
func (s story) oneHost(lasts time.Duration) (id string, covered *cluster.Machine) {
	s.Helper()
	id, text := s.sign(s.signer(), 1, -20*time.Second, lasts)
	file := filepath.Join(s.TempDir(), "one.licence")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		s.Fatal(err)
	}
	s.hnctl("license", "set", file)
	s.until("one host is over the licence", func() bool {
		hosts, err := s.HostList(s.Context())
		if err != nil {
			return false
		}
		over := 0
		for _, h := range hosts {
			if h.Unlicensed != "" {
				over++
				s.figure("licence for one host: %s is %s; %s", h.Name, h.State, h.Unlicensed)
			} else if h.Role == "user" {
				covered = s.Machine(h.Name)
			}
		}
		return over == 1
	})
	return id, covered
}

// bothHosts sets the cluster's first licence again.
func (s story) bothHosts() {
	s.Helper()
	s.hnctl("license", "set", filepath.Join(s.Dir, "jls", "demo.licence"))
	for _, h := range s.Hosts {
		if _, err := s.WaitHost(s.Context(), h.Name, patience(),
			func(h operator.Host) bool { return isActive(h) && h.Unlicensed == "" }); err != nil {
			s.Error(err)
		}
	}
	if l := s.licence(); l.State != "active" || l.Hosts != 2 {
		s.Errorf("the first licence, set again, is %+v", l)
	}
}

// sameNodes fails when a node was restarted, moved or replaced.
func (s story) sameNodes(before, after operator.Environment) {
	s.Helper()
	if len(before.Nodes) != len(after.Nodes) {
		s.Errorf("%s had %d nodes, has %d", before.Spec.Name, len(before.Nodes), len(after.Nodes))
		return
	}
	for i, b := range before.Nodes {
		if a := after.Nodes[i]; a.CTID != b.CTID || a.Host != b.Host || !a.Started.Equal(b.Started) || a.Restarts != b.Restarts {
			s.Errorf("node %s was touched: %+v became %+v", b.CTID, b, a)
		}
	}
}
