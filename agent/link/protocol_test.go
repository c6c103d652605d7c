package link

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"hardnode.dev/internal/wire/host"
)

// An answer in a protocol that this host does not speak is not taken for one that it does.
func TestAnswerOfAnotherProtocol(t *testing.T) {
	for _, c := range []struct{ says, want string }{
		{"", ""}, // the first version says nothing
		{host.Spoken.String(), ""},
		{"900", `answers in protocol "900" of the host API, this host speaks ` + host.Spoken.String()},
		{"?", `answers in protocol "?"`},
	} {
		srv := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if got := r.Header.Get(host.ProtocolHeader); got != host.Spoken.String() {
				t.Errorf("the request says it speaks %q", got)
			}
			if c.says != "" {
				w.Header().Set(host.ProtocolHeader, c.says)
			}
			w.Write([]byte("{}"))
		}))
		_, err := (&clientBox{spoken: host.Spoken}).once(t.Context(), srv.Client(), http.MethodGet, strings.TrimPrefix(srv.URL, "https://"),
			host.PathAssigned, nil, 30*time.Second)
		srv.Close()
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("an answer in %q: %v, want %q", c.says, err, c.want)
		}
	}
}
