package licensing

import (
	"path/filepath"
	"testing"
	"time"

	"hardnode.dev/internal/jerror"
	"hardnode.dev/internal/wire/jls"
)

// Errors wait for a JLS that is away, or that does not take them, which is nothing against the licence; one that takes them gets each once.
func TestErrorsWait(t *testing.T) {
	s := newServer(t)
	k, now := keeper(t, s, s.pin)
	k.Errors = &jerror.Spool{Path: filepath.Join(t.TempDir(), "errors.json")}
	if err := k.talk(t.Context()); err != nil {
		t.Fatal(err)
	}
	tell := func(want string, waiting int) {
		t.Helper()
		err := k.tell(t.Context())
		w, werr := k.Errors.Waiting()
		if (err != nil) != (want == "refused") || werr != nil || len(w.Errors) != waiting || len(s.mu.errors) != 1-waiting {
			t.Errorf("%v, %v: %d wait, the server has %d", err, werr, len(w.Errors), len(s.mu.errors))
		}
	}
	if err := k.Errors.Add(jls.ErrorReport{Errors: []jls.JError{jerror.Of("agent", "panic", "broken", *now)}}); err != nil {
		t.Fatal(err)
	}
	tell("refused", 1)
	if l := look(t, k); l.State != "active" || l.JLS != "reachable" {
		t.Errorf("the licence: %+v", l)
	}
	s.mu.takes = true
	tell("not yet", 1)
	*now = now.Add(tellRefused + time.Second)
	tell("taken", 0)
	*now = now.Add(tellRefused)
	tell("nothing waits", 0)
}
