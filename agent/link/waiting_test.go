package link

import (
	"strings"
	"testing"
	"time"

	"hardnode.dev/internal/identity"
	"hardnode.dev/internal/wire/boot"
)

// TestWaitsToBeAdmitted: a host without a token asks until it is admitted, and shows the code that it has worked out itself.
func TestWaitsToBeAdmitted(t *testing.T) {
	o := newOrchestrator(t)
	o.admits, o.code = "wait", "the orchestrator's"
	j, dir := o.join(), t.TempDir()
	j.Token = ""
	l, _, stop := start(t, dir, j)
	code := identity.Code(l.public(), j.CAPin)
	eventually(t, "it waits", func() bool { return l.Status().Link == boot.LinkWaiting })
	s := l.Status()
	if s.Code != code || s.Stage != boot.StageJoining || len(s.Problems) != 1 ||
		!strings.Contains(s.Problems[0].Next, "hnctl host admit "+code) {
		t.Errorf("a host that waits says %+v, want code %s", s, code)
	}
	o.mu.Lock()
	began, n := time.Now(), len(o.asks)
	o.mu.Unlock()
	asks := func() int {
		o.mu.Lock()
		defer o.mu.Unlock()
		return len(o.asks)
	}
	eventually(t, "it asks twice more", func() bool { return asks() >= n+2 })
	if took := time.Since(began); took < time.Second {
		t.Errorf("it asked twice within %v, whatever pace the other side names", took)
	}
	o.mu.Lock()
	o.admits = "admit"
	o.mu.Unlock()
	eventually(t, "linked", func() bool { s := l.Status(); return s.Linked && s.Name == "host-1" })
	if s := l.Status(); s.Code != code || len(s.Problems) != 0 {
		t.Errorf("after it joined: %+v, want code %s", s, code)
	}
	stop()
	l, _, _ = start(t, dir, j)
	if s := l.Status(); s.Code != code || s.Stage != boot.StageJoined {
		t.Errorf("after a restart: %+v, want code %s", s, code)
	}
}

// TestCodeOfVersions: a host goes on showing what people see at the orchestrator that it joined: at one of version 0.1, the key's code
// alone.
func TestCodeOfVersions(t *testing.T) {
	for name, says := range map[string]string{"this version": "its code", "version 0.1": ""} {
		t.Run(name, func(t *testing.T) {
			o := newOrchestrator(t)
			o.code = says
			j, dir := o.join(), t.TempDir()
			l, _, stop := start(t, dir, j)
			want := identity.Code(l.public(), j.CAPin)
			if says == "" {
				want = identity.ShortCode(l.public())
			}
			eventually(t, "linked", func() bool { return l.Status().Linked })
			if got := l.Status().Code; got != want {
				t.Errorf("it shows %s, want %s", got, want)
			}
			stop()
			l, _, _ = start(t, dir, j)
			if got := l.Status().Code; got != want {
				t.Errorf("after a restart it shows %s, want %s", got, want)
			}
		})
	}
}
