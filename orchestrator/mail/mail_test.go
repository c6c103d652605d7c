package mail

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"hardnode.dev/internal/secret"
	"hardnode.dev/internal/testkit/ports"
	"hardnode.dev/internal/wire/mail"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/orchestrator/certs"
	"hardnode.dev/orchestrator/store"
)

type bench struct {
	*Desk
	t   *testing.T
	mu  sync.Mutex
	now time.Time
}

func opened(t *testing.T) *bench {
	t.Helper()
	s, err := store.Open(t.Context(), store.Options{Dir: t.TempDir(), Unsafe: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	b := &bench{t: t, now: time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)}
	b.Desk = &Desk{Store: s, Keys: certs.Sealer(make([]byte, 32)), Cluster: "demo", Limit: 30 * time.Second,
		Now: func() time.Time { b.mu.Lock(); defer b.mu.Unlock(); return b.now }}
	return b
}

func (b *bench) later(d time.Duration) { b.mu.Lock(); defer b.mu.Unlock(); b.now = b.now.Add(d) }

// by names a server.
func (b *bench) by(s *smtpServer, change func(*mail.SetMailSettings)) {
	b.t.Helper()
	password := secret.Text("smtp secret")
	set := mail.SetMailSettings{Host: "127.0.0.1", Port: s.port, User: "paas", Password: &password, From: "paas@example.com", CA: s.ca,
		Panel: "https://paas.example.com"}
	if change != nil {
		change(&set)
	}
	if err := b.Set(b.t.Context(), set, "admin"); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) queued(to string) error {
	return b.queue(Letter{To: to, Subject: "Hello", Text: "the link is https://paas.example.com/x\n", For: 24 * time.Hour})
}

func (b *bench) queue(l Letter) error {
	_, err := b.Store.Update(b.t.Context(), func(tx *store.Tx) error { return b.Queue(tx, l) })
	return err
}

func (b *bench) stepped() {
	b.t.Helper()
	if _, err := b.step(b.t.Context()); err != nil {
		b.t.Fatal(err)
	}
}

// only is the one mail in the outbox.
func (b *bench) only() mail.QueuedMail {
	b.t.Helper()
	list := b.List()
	if len(list) != 1 {
		b.t.Fatalf("the outbox has %+v", list)
	}
	return list[0]
}

func code(t *testing.T, err error, code operator.Code) {
	t.Helper()
	var p *operator.Problem
	if !errors.As(err, &p) || p.Code != code {
		t.Errorf("got %v, want %s", err, code)
	}
}

func TestSent(t *testing.T) {
	for name, k := range map[string]struct {
		server func(*smtpServer)
		set    func(*mail.SetMailSettings)
	}{
		"starttls": {nil, nil},
		"tls":      {func(s *smtpServer) { s.implicit = true }, func(s *mail.SetMailSettings) { s.Security = mail.TLS }},
		"none": {func(s *smtpServer) { s.plain = true }, func(s *mail.SetMailSettings) {
			s.Security, s.User, s.CA = mail.None, "", ""
		}},
	} {
		t.Run(name, func(t *testing.T) {
			b, s := opened(t), serveSMTP(t, k.server)
			code(t, b.queued("ada@example.com"), operator.Unavailable)
			b.by(s, k.set)
			if err := b.queued("ada@example.com"); err != nil {
				t.Fatal(err)
			}
			for _, m := range store.Outbox.All(b.Store.View()) {
				if strings.Contains(string(m.Text), "link") {
					t.Error("what is in a mail is stored as it is")
				}
			}
			if rec, _ := store.MailServers.Get(b.Store.View(), store.Only); strings.Contains(string(rec.Password), "secret") {
				t.Error("the password is stored as it is")
			}
			b.stepped()
			got := s.mails()
			if len(got) != 1 || len(b.List()) != 0 {
				t.Fatalf("the server has %q, the outbox %+v", got, b.List())
			}
			for _, want := range []string{"FROM:<paas@example.com>", "TO:<ada@example.com>", "Subject: Hello\r\n",
				"Auto-Submitted: auto-generated", "the link is https://paas.example.com/x", "@example.com>"} {
				if !strings.Contains(got[0], want) {
					t.Errorf("the mail lacks %q:\n%s", want, got[0])
				}
			}
			s.mu.Lock()
			defer s.mu.Unlock()
			want := map[bool]string{true: "[]", false: "[|paas|smtp secret]"}[name == "none"]
			if logins := fmt.Sprint(s.mu.logins); s.mu.clear || logins != want {
				t.Errorf("signed in as %s, in the clear: %v", logins, s.mu.clear)
			}
		})
	}
}

// TestNotTrusted: no mail and no password goes to a server whose certificate is wrong, or that has no TLS where it is asked for.
func TestNotTrusted(t *testing.T) {
	for name, k := range map[string]struct {
		server func(*smtpServer)
		set    func(*mail.SetMailSettings)
		says   string
	}{
		"another CA":  {nil, func(s *mail.SetMailSettings) { s.CA = "" }, "certificate"},
		"no STARTTLS": {func(s *smtpServer) { s.plain = true }, nil, "STARTTLS"},
		"no TLS":      {nil, func(s *mail.SetMailSettings) { s.Security = mail.TLS }, "tls"},
	} {
		t.Run(name, func(t *testing.T) {
			b, s := opened(t), serveSMTP(t, k.server)
			b.by(s, k.set)
			if err := b.queued("ada@example.com"); err != nil {
				t.Fatal(err)
			}
			b.stepped()
			if m := b.only(); m.State != "waiting" || m.Tries != 1 || !strings.Contains(m.Reason, k.says) {
				t.Errorf("the outbox has %+v", m)
			}
			err := b.Test(t.Context(), "ada@example.com", "admin")
			code(t, err, operator.Unavailable)
			s.mu.Lock()
			defer s.mu.Unlock()
			if len(s.mu.mails) != 0 || len(s.mu.logins) != 0 {
				t.Errorf("it got %q, %q", s.mu.mails, s.mu.logins)
			}
		})
	}
}

// TestFaults: what may be mended is tried again, later each time, until the mail's end; what is refused for good is not.
func TestFaults(t *testing.T) {
	b, s := opened(t), serveSMTP(t, nil)
	b.by(s, nil)
	for _, k := range []struct {
		verb, answer string
		final        bool
	}{{"CONNECT", "421 too busy", false}, {"AUTH", "535 wrong password", false}, {"MAIL", "451 later", false},
		{"RCPT", "450 greylisted", false}, {"RCPT", "550 no such mailbox", true}, {".", "554 it looks like spam", true},
		{"DATA", "452 disk full", false}} {
		if err := b.queued("ada@example.com"); err != nil {
			t.Fatal(err)
		}
		s.answer(k.verb, k.answer)
		b.stepped()
		m := b.only()
		if want := map[bool]string{true: "failed", false: "waiting"}[k.final]; m.State != want || m.Tries != 1 ||
			!strings.Contains(m.Reason, k.answer[4:]) || !strings.HasPrefix(m.Reason, fmt.Sprintf("mail server 127.0.0.1:%d: ", s.port)) {
			t.Errorf("%s %s: %+v", k.verb, k.answer, m)
		}
		s.right(k.verb)
		if !k.final {
			b.stepped() // too early
			if len(s.mails()) != 0 || b.only().Tries != 1 {
				t.Errorf("%s: it was tried again at once", k.verb)
			}
			b.later(firstRest)
			b.stepped()
			if len(s.mails()) != 1 {
				t.Errorf("%s: mended, it was not sent: %+v", k.verb, b.List())
			}
		}
		s.mu.Lock()
		s.mu.mails = nil
		s.mu.Unlock()
		if _, err := b.Store.Update(t.Context(), func(tx *store.Tx) error {
			for _, m := range store.Outbox.All(tx.View()) {
				store.Outbox.Delete(tx, m.ID)
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	// The rest grows to an hour; at its end a mail is given up, and what was in it is forgotten.
	s.answer("RCPT", "450 greylisted")
	if err := b.queued("ada@example.com"); err != nil {
		t.Fatal(err)
	}
	for range 40 {
		b.stepped()
		if m := b.only(); m.State == "failed" {
			break
		} else if rest := m.Next.Sub(b.Now()); rest > longRest {
			t.Fatalf("it rests %v", rest)
		}
		b.later(b.only().Next.Sub(b.Now()))
	}
	m := b.only()
	if m.State != "failed" || !strings.Contains(m.Reason, "given up after 24h0m0s: ") || !strings.Contains(m.Reason, "greylisted") ||
		m.Tries < 20 {
		t.Errorf("at its end it is %+v", m)
	}
	if rec := store.Outbox.All(b.Store.View()); rec[0].Text != nil {
		t.Error("what was in a mail that failed is kept")
	}
	b.later(failedFor + time.Hour)
	b.stepped()
	if n := len(b.List()); n != 0 {
		t.Errorf("%d mails are kept for ever", n)
	}
}

// TestDownAndSlow: a server that is not there, or says nothing, costs the mail a try and no more time than the limit.
func TestDownAndSlow(t *testing.T) {
	b := opened(t)
	_, text, _ := net.SplitHostPort(ports.Own(t))
	port, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	b.by(&smtpServer{port: port}, func(s *mail.SetMailSettings) { s.CA = "" })
	if err := b.queued("ada@example.com"); err != nil {
		t.Fatal(err)
	}
	b.stepped()
	if m := b.only(); m.State != "waiting" || m.Tries != 1 || !strings.Contains(m.Reason, "refused") {
		t.Errorf("with nobody there: %+v", m)
	}
	for _, verb := range []string{"CONNECT", "EHLO", "RCPT", "."} {
		s := serveSMTP(t, nil)
		s.answer(verb, "")
		b.by(s, nil) // all that waits is due at once
		b.Limit = time.Second
		began, tries := time.Now(), b.only().Tries
		b.stepped()
		if m := b.only(); m.State != "waiting" || m.Tries != tries+1 || time.Since(began) > 20*time.Second {
			t.Errorf("silent at %s: %+v after %v", verb, m, time.Since(began))
		}
	}
}

func TestBounds(t *testing.T) {
	b, s := opened(t), serveSMTP(t, nil)
	b.by(s, nil)
	for i := range maxOfOne {
		if err := b.queued("ada@example.com"); err != nil {
			t.Fatal(i, err)
		}
	}
	code(t, b.queued("ada@example.com"), operator.Exhausted)
	if err := b.queued("bob@example.com"); err != nil {
		t.Fatal(err)
	}
	// What was done with what is theirs they are told all the same, so often.
	for i := maxOfOne; i < maxNotices; i++ {
		if err := b.queue(Letter{To: "ada@example.com", Subject: "Hello", Text: "x\n", For: time.Hour, Notice: true}); err != nil {
			t.Fatal(i, err)
		}
	}
	code(t, b.queue(Letter{To: "ada@example.com", Subject: "Hello", Text: "x\n", For: time.Hour, Notice: true}), operator.Exhausted)
	if got := b.Settings(); got.Waiting != maxNotices+1 || !got.Password || got.Host != "127.0.0.1" {
		t.Errorf("it shows %+v", got)
	}
	if err := b.Remove(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := b.Settings(); got.Waiting != 0 || got.Failed != maxNotices+1 || got.Host != "" {
		t.Errorf("after it was removed: %+v", got)
	}
	code(t, b.Remove(t.Context()), operator.NotFound)
	code(t, b.Test(t.Context(), "ada@example.com", "admin"), operator.Conflict)
}

// TestPassword: it stays with its server and its user, and goes to no other.
func TestPassword(t *testing.T) {
	b, s := opened(t), serveSMTP(t, nil)
	b.by(s, nil)
	set := mail.SetMailSettings{Host: "127.0.0.1", Port: s.port, User: "paas", From: "other@example.com", CA: s.ca,
		Panel: "https://paas.example.com"}
	if err := b.Set(t.Context(), set, "admin"); err != nil {
		t.Fatal(err)
	}
	if err := b.Test(t.Context(), "ada@example.com", "admin"); err != nil {
		t.Error(err)
	}
	code(t, b.Test(t.Context(), "ada", "admin"), operator.Invalid)
	for _, change := range []func(*mail.SetMailSettings){func(s *mail.SetMailSettings) { s.Host = "127.0.0.2" },
		func(s *mail.SetMailSettings) { s.User = "eve" }} {
		other := set
		change(&other)
		code(t, b.Set(t.Context(), other, "admin"), operator.Invalid)
	}
}

// TestRun: what is queued is sent without anybody asking.
func TestRun(t *testing.T) {
	b, s := opened(t), serveSMTP(t, nil)
	b.by(s, nil)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- b.Run(ctx) }()
	if err := b.queued("ada@example.com"); err != nil {
		t.Fatal(err)
	}
	for v := b.Store.View(); len(b.List()) > 0; v = b.Store.View() {
		<-v.Over()
	}
	if n := len(s.mails()); n != 1 {
		t.Errorf("%d mails were sent", n)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// TestKilledBehindSending: whoever ends between a mail's sending and its record sends it again, as the same message: readers show one.
func TestKilledBehindSending(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	b, s := opened(t), serveSMTP(t, func(s *smtpServer) { s.took = cancel })
	b.by(s, nil)
	if err := b.queued("ada@example.com"); err != nil {
		t.Fatal(err)
	}
	if _, err := b.step(ctx); err != nil {
		t.Fatal(err)
	}
	if m := b.only(); m.Tries != 0 || len(s.mails()) != 1 {
		t.Fatalf("%d mails were sent, and it is kept as %+v", len(s.mails()), m)
	}
	b.stepped()
	id := func(text string) string {
		_, rest, _ := strings.Cut(text, "Message-ID: ")
		id, _, _ := strings.Cut(rest, "\r\n")
		return id
	}
	if m := s.mails(); len(b.List()) != 0 || len(m) != 2 || id(m[0]) == "" || id(m[0]) != id(m[1]) {
		t.Errorf("the outbox has %+v, and the mails are %q", b.List(), m)
	}
}
