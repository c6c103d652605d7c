package panel

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/orchestrator/authz"
)

func TestOver(t *testing.T) {
	begun := time.Unix(1_000_000, 0)
	for _, c := range []struct {
		used, now time.Duration // since it was begun
		want      string
	}{
		{0, 0, ""},
		{0, idle, ""},
		{0, idle + 1, endedIdle},
		{0, 48 * time.Hour, endedIdle},
		{20 * time.Hour, 24 * time.Hour, ""},
		{20 * time.Hour, 24*time.Hour + 1, endedLongest},
		{20 * time.Hour, 100 * time.Hour, endedLongest},
		{16 * time.Hour, 100 * time.Hour, endedLongest},
		{15 * time.Hour, 100 * time.Hour, endedIdle},
	} {
		s := session{begun: begun, used: begun.Add(c.used)}
		if got := s.over(begun.Add(c.now)); got != c.want {
			t.Errorf("used after %s, looked at after %s: got %q, want %q", c.used, c.now, got, c.want)
		}
	}
	s := session{begun: begun, used: begun, ended: endedRevoked}
	if got := s.over(begun.Add(50 * time.Hour)); got != endedRevoked {
		t.Errorf("what ended it first is forgotten: %q", got)
	}
}

func TestNoToken(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	for _, c := range []struct {
		expires time.Time
		want    string
	}{{time.Time{}, endedRevoked}, {now.Add(1), endedRevoked}, {now, endedExpired}, {now.Add(-time.Hour), endedExpired}} {
		if got := (&session{expires: c.expires}).noToken(now); got != c.want {
			t.Errorf("expires %s: got %q, want %q", c.expires, got, c.want)
		}
	}
	for expires, want := range map[time.Time]string{now.Add(1): endedSession, now: endedLongest} {
		if got := (&session{user: true, expires: expires}).noToken(now); got != want {
			t.Errorf("a user's that ends %s: got %q, want %q", expires, got, want)
		}
	}
}

// TestRemember: sessions are bounded; what has ended makes room first, then the one that was used longest ago.
func TestRemember(t *testing.T) {
	p := &Panel{}
	begun := time.Unix(1_000_000, 0)
	for i := range maxOpen + 10 {
		s := &session{begun: begun, used: begun.Add(time.Duration(i) * time.Second)}
		if i == 500 {
			s.ended = endedRevoked
		}
		p.remember("", fmt.Sprint(i), s)
	}
	if len(p.mu.open) != maxOpen {
		t.Errorf("%d sessions are remembered", len(p.mu.open))
	}
	for k, want := range map[string]bool{"500": false, "0": false, "8": false, "9": true, "499": true, "1009": true} {
		if got := p.mu.open[k] != nil; got != want {
			t.Errorf("session %s: remembered %v, want %v", k, got, want)
		}
	}
	p.remember("9", "new", &session{begun: begun.Add(remembered + time.Hour), used: begun.Add(remembered + time.Hour)})
	if len(p.mu.open) != 1 {
		t.Errorf("%d sessions are remembered after a week", len(p.mu.open))
	}
}

// TestWhoNever: a cookie that no session is of says that the orchestrator was restarted, or that too many signed in; a broken one says
// nothing.
func TestWhoNever(t *testing.T) {
	p := &Panel{Now: time.Now}
	for value, want := range map[string]string{
		"":                                       "",
		"x":                                      "",
		strings.Repeat("a", 63):                  "",
		strings.Repeat("a", 64):                  endedRestarted,
		strings.Repeat("a", 64) + ".0123":        endedRestarted,
		strings.Repeat("a", 64) + "." + p.life(): endedPushedOut,
		strings.Repeat("a", 64) + "." + p.life() + ".":       endedRestarted,
		strings.Repeat("a", 65) + "." + p.life():             "",
		strings.Repeat("a", 64) + "." + (&Panel{}).life():    endedRestarted,
		strings.Repeat("a", 64) + strings.Repeat(".x", 1000): endedRestarted,
	} {
		r := httptest.NewRequest("GET", "/panel/", nil)
		if value != "" {
			r.AddCookie(&http.Cookie{Name: cookieName, Value: value})
		}
		if who, ended := p.who(r); who.ID != "" || ended != want {
			t.Errorf("%.80q: %+v, %q, want %q", value, who, ended, want)
		}
	}
}

// TestPanelAdmits: each request is let in within the limits of who asks, and is refused before anything is looked at.
func TestPanelAdmits(t *testing.T) {
	held, full := 0, false
	var asked []string
	p := &Panel{Now: time.Now, Admit: func(w http.ResponseWriter, _ *http.Request, who authz.Who) (func(), *operator.Problem) {
		if asked = append(asked, who.ID); full {
			w.Header().Set("Retry-After", "1")
			return nil, operator.TooMany("x", "it asks too often", "wait", time.Second)
		}
		held++
		return func() { held-- }, nil
	}}
	h := p.Handler()
	get := func(path string) *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest("GET", path, nil))
		return w
	}
	if w := get("/panel/assets/panel.css"); w.Code != http.StatusOK || len(asked) != 1 || asked[0] != "" || held != 0 {
		t.Errorf("within the limits: %d, %q, %d held", w.Code, asked, held)
	}
	full = true
	for _, path := range []string{"/panel/assets/panel.css", "/panel/login", "/panel/", "/panel/link/0123"} {
		if w := get(path); w.Code != http.StatusTooManyRequests || w.Header().Get("Retry-After") != "1" ||
			!strings.Contains(w.Body.String(), "it asks too often") {
			t.Errorf("%s, beyond the limits: %d %s", path, w.Code, w.Body)
		}
	}
}
