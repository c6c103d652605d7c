package templates

import (
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"hardnode.dev/orchestrator/store"
)

// registry answers with an empty list, and counts how often.
type registry struct{ asked atomic.Int64 }

func (r *registry) RoundTrip(*http.Request) (*http.Response, error) {
	r.asked.Add(1)
	return &http.Response{StatusCode: 200, Body: io.NopCloser(strings.NewReader(`{"version":1,"templates":[]}`))}, nil
}

// TestRefresh: who asks gets a list that was read after it asked, however short before another one was read; a reading that began while it waited will do.
func TestRefresh(t *testing.T) {
	st, err := store.Open(t.Context(), store.Options{Dir: filepath.Join(t.TempDir(), "s"), Unsafe: true})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	r := &registry{}
	l := &List{Store: st, Registry: "registry:7445"}
	l.mu.client = &http.Client{Transport: r}
	for range 2 {
		if err := l.Refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if n := r.asked.Load(); n != 2 {
		t.Errorf("asked twice, one after the other: the registry was asked %d times, want 2", n)
	}
	l.mu.began = l.mu.began.Add(time.Hour) // a reading that began while this one waited for its turn
	if err := l.Refresh(t.Context()); err != nil || r.asked.Load() != 2 {
		t.Errorf("a reading that began later is not shared: %d, %v", r.asked.Load(), err)
	}
}
