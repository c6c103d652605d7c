package hostapi

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/operator"
)

// A caller is answered in a protocol that both speak, and told which side to update when there is none.
func TestAgreed(t *testing.T) {
	s := Server{Spoken: host.Protocols{Oldest: 2, Newest: 3}}
	h := s.agreed(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusNoContent) }))
	for _, c := range []struct {
		theirs string
		status int
		says   string // the answer's header
		want   string // in the problem
	}{
		{"2", 204, "2", ""},
		{"1-2", 204, "2", ""},
		{"2-3", 204, "3", ""},
		{"3-4", 204, "3", ""},
		{"", 409, "2-3", "update the host"},
		{"1", 409, "2-3", "the host speaks protocol 1 of the host API, this orchestrator 2-3"},
		{"4-5", 409, "2-3", "update the orchestrator"},
		{"new", 422, "", "want one protocol"},
	} {
		w, r := httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, host.PathAssigned, nil)
		if c.theirs != "" {
			r.Header.Set(host.ProtocolHeader, c.theirs)
		}
		h.ServeHTTP(w, r)
		var p operator.Problem
		if c.want != "" && json.Unmarshal(w.Body.Bytes(), &p) != nil {
			t.Errorf("%q: no problem: %s", c.theirs, w.Body)
		}
		if w.Code != c.status || w.Header().Get(host.ProtocolHeader) != c.says || !strings.Contains(p.Reason+p.Next, c.want) {
			t.Errorf("%q: %d, %q, %s; want %d, %q, %q", c.theirs, w.Code, w.Header().Get(host.ProtocolHeader), w.Body, c.status,
				c.says, c.want)
		}
	}
}
