package enroll

import (
	"crypto/ed25519"
	"net/netip"
	"strings"
	"testing"
	"time"

	"hardnode.dev/internal/identity"
	"hardnode.dev/internal/secret"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/internal/wire/waiting"
	"hardnode.dev/orchestrator/store"
)

// stranger is a machine without a token, and what its console shows when it was given this pin.
type stranger struct {
	key ed25519.PrivateKey
	req waiting.Request
}

func newStranger(t *testing.T, mac string) stranger {
	t.Helper()
	key, err := identity.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	csr, err := identity.CSR(key)
	if err != nil {
		t.Fatal(err)
	}
	return stranger{key, waiting.Request{CSR: csr, Version: "0.1.0", Machine: waiting.Machine{MACs: []string{mac}, Serial: "7",
		Disks: []waiting.Disk{{Name: "vda", Bytes: 8 << 30}}}}}
}

func (s stranger) shows(pin string) string {
	return identity.Code(s.key.Public().(ed25519.PublicKey), pin)
}

var segment = netip.MustParseAddr("10.77.0.50")

func refused(t *testing.T, what string, err error, code operator.Code, words string) {
	t.Helper()
	p := operator.AsProblem(err)
	if p == nil || p.Code != code || !strings.Contains(p.Reason+" "+p.Next, words) || p.Next == "" {
		t.Errorf("%s: got %v, want %s with %q and a next step", what, err, code, words)
	}
}

// TestAdmit: a stranger waits, is seen with its code, is admitted by it and by nothing else, and joins once.
func TestAdmit(t *testing.T) {
	now := time.Now()
	d := desk(t, &now)
	pin := identity.Pin(d.Authority.Root)
	s := newStranger(t, "52:54:00:00:00:01")
	ask := func(s stranger) waiting.Reply {
		t.Helper()
		now = now.Add(3 * time.Second)
		r, err := d.Wait(t.Context(), s.req, segment)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	if r := ask(s); r.Enrolled != nil || r.Code != s.shows(pin) || r.Again != waiting.Every.Milliseconds() {
		t.Fatalf("a stranger got %+v", r)
	}
	if l := d.ListWaiting(); len(l) != 1 || l[0].Code != s.shows(pin) || l[0].MACs[0] != "52:54:00:00:00:01" || l[0].Serial != "7" ||
		l[0].Disks[0] != "vda 8.0 GiB" || l[0].Address != "10.77.0.50" {
		t.Errorf("the list is %+v", l)
	}
	admit := func(code string, a operator.AdmitHost) error { _, err := d.Admit(t.Context(), code, a); return err }
	refused(t, "a code that nobody shows", admit("AAAA-AAAA-AAAA", operator.AdmitHost{}), operator.NotFound, "another cluster's pin")
	refused(t, "half a code", admit(s.shows(pin)[:9], operator.AdmitHost{}), operator.Invalid, "twelve")
	refused(t, "the code of version 0.1", admit(identity.ShortCode(s.key.Public().(ed25519.PublicKey)), operator.AdmitHost{}),
		operator.Invalid, "twelve")
	refused(t, "a name that is none", admit(s.shows(pin), operator.AdmitHost{Name: "a b"}), operator.Invalid, "name")
	if r := ask(s); r.Enrolled != nil {
		t.Fatal("a stranger was let in by refusals")
	}
	made, err := d.Admit(t.Context(), strings.ToLower(s.shows(pin)), operator.AdmitHost{Name: "host-3"})
	if err != nil || made.Role != "user" || made.Name != "host-3" {
		t.Fatalf("got %+v, %v", made, err)
	}
	refused(t, "admitted twice", admit(s.shows(pin), operator.AdmitHost{}), operator.Conflict, "host-3")
	// What it was given is its key's alone: another machine, and the token's id as a token, get nothing.
	if r := ask(newStranger(t, "52:54:00:00:00:02")); r.Enrolled != nil {
		t.Error("another machine was let in with it")
	}
	id := secret.Text(admission(s.key.Public().(ed25519.PublicKey)))
	if _, err := d.Enroll(t.Context(), host.EnrollRequest{CSR: s.req.CSR, Token: id}); err == nil {
		t.Error("the id of a permission is good as a token")
	}
	r := ask(s)
	if r.Enrolled == nil || r.Enrolled.Name != "host-3" || r.Enrolled.Code != s.shows(pin) {
		t.Fatalf("the admitted machine got %+v", r)
	}
	h, _ := store.Hosts.Get(d.Store.View(), string(r.Enrolled.Host))
	if h.Code != s.shows(pin) || h.Hardware.MACs[0] != "52:54:00:00:00:01" {
		t.Errorf("the host's record is %+v", h)
	}
	// The answer was lost: it asks again, and is the same host.
	if again := ask(s); again.Enrolled == nil || again.Enrolled.Host != r.Enrolled.Host {
		t.Errorf("asked again: %+v", again)
	}
	refused(t, "a name that is taken", func() error {
		o := newStranger(t, "52:54:00:00:00:03")
		ask(o)
		return admit(o.shows(pin), operator.AdmitHost{Name: "host-3"})
	}(), operator.Conflict, "enrolled already")
	// A host that was removed is a stranger again.
	if err := d.Remove(t.Context(), r.Enrolled.Host, operator.HostUnreachable); err != nil {
		t.Fatal(err)
	}
	if r := ask(s); r.Enrolled != nil {
		t.Error("a removed host was let in again")
	}
	if err := admit(s.shows(pin), operator.AdmitHost{Name: "host-3"}); err != nil {
		t.Error(err)
	}
	if r := ask(s); r.Enrolled == nil {
		t.Error("admitted again: it is not let in")
	}
}

// TestAdmittedTooLate: a permission that nobody used ends, and the machine waits again.
func TestAdmittedTooLate(t *testing.T) {
	now := time.Now()
	d := desk(t, &now)
	s := newStranger(t, "52:54:00:00:00:01")
	code := s.shows(identity.Pin(d.Authority.Root))
	for _, after := range []time.Duration{0, 2 * time.Hour} {
		now = now.Add(after)
		if r, err := d.Wait(t.Context(), s.req, segment); err != nil || r.Enrolled != nil {
			t.Fatalf("%+v, %v", r, err)
		}
		if _, err := d.Admit(t.Context(), code, operator.AdmitHost{}); err != nil {
			t.Fatal(err)
		}
	}
	if r, err := d.Wait(t.Context(), s.req, segment); err != nil || r.Enrolled == nil {
		t.Errorf("%+v, %v", r, err)
	}
}

// TestFalseServer: a machine that was given another pin shows a code that nobody can admit, also when whoever gave it asks here in its
// name.
func TestFalseServer(t *testing.T) {
	now := time.Now()
	d, theirs := desk(t, &now), desk(t, &now)
	s := newStranger(t, "52:54:00:00:00:01")
	shown := s.shows(identity.Pin(theirs.Authority.Root))
	if _, err := d.Wait(t.Context(), s.req, segment); err != nil {
		t.Fatal(err)
	}
	if l := d.ListWaiting(); len(l) != 1 || l[0].Code == shown {
		t.Fatalf("the list is %+v, the machine's console shows %s", l, shown)
	}
	_, err := d.Admit(t.Context(), shown, operator.AdmitHost{})
	refused(t, "the code of a machine with another pin", err, operator.NotFound, "don't admit it")
}

// TestShownCode: a host with a token shows the code of key and pin, one of version 0.1 that of its key; either is the one in its record.
func TestShownCode(t *testing.T) {
	now := time.Now()
	d := desk(t, &now)
	join := func(shown string) (host.EnrollReply, error) {
		s := newStranger(t, "")
		tok, err := d.NewToken(t.Context(), operator.NewJoinToken{Role: "user"})
		if err != nil {
			t.Fatal(err)
		}
		key := s.key.Public().(ed25519.PublicKey)
		req := host.EnrollRequest{Token: secret.Text(tok.Text), CSR: s.req.CSR, Code: identity.ShortCode(key)}
		switch shown {
		case "ours":
			req.Shown = s.shows(identity.Pin(d.Authority.Root))
		case "theirs":
			req.Shown = s.shows("sha256:" + strings.Repeat("0", 64))
		}
		return d.Enroll(t.Context(), req)
	}
	for shown, want := range map[string]int{"ours": 14, "": 9} {
		r, err := join(shown)
		h, _ := store.Hosts.Get(d.Store.View(), string(r.Host))
		if err != nil || len(h.Code) != want || h.Code != r.Code {
			t.Errorf("it shows %q: %v, the record says %q, the answer %q", shown, err, h.Code, r.Code)
		}
	}
	if _, err := join("theirs"); operator.AsProblem(err).Object != "code" {
		t.Errorf("a code of another pin: %v", err)
	}
}
