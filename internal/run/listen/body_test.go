package listen

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// Whoever a handler handed the body to may read on once the handler has returned, as a transport does that sends it to another server.
func TestBodyReadAfterTheHandler(t *testing.T) {
	for _, proto := range []string{"HTTP/1.1", "HTTP/2.0"} {
		t.Run(proto, func(t *testing.T) {
			returned, read := make(chan struct{}), make(chan error, 1)
			s := httptest.NewUnstartedServer(Bodies(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.Proto != proto {
					t.Errorf("the request came as %s", r.Proto)
				}
				go func() {
					<-returned
					_, err := r.Body.Read(make([]byte, 100))
					read <- err
				}()
				w.WriteHeader(http.StatusNoContent)
			}), Limits{}))
			s.EnableHTTP2 = proto == "HTTP/2.0"
			s.StartTLS()
			defer s.Close()
			body, more := io.Pipe()
			defer more.Close()
			req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL, body)
			if err != nil {
				t.Fatal(err)
			}
			go more.Write([]byte("a beginning"))
			res, err := s.Client().Do(req)
			if err != nil {
				t.Fatal(err)
			}
			res.Body.Close()
			close(returned)
			if err := <-read; err == nil {
				t.Log("it got what had come") // and no panic
			}
		})
	}
}

// TestDeadlinesAreTheServers: a handler's framework that bounds the reading of a body which has long been read does not end the request.
func TestDeadlinesAreTheServers(t *testing.T) {
	for _, proto := range []string{"HTTP/1.1", "HTTP/2.0"} {
		s := httptest.NewUnstartedServer(Bodies(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			io.Copy(io.Discard, r.Body)
			if err := http.NewResponseController(w).SetReadDeadline(time.Now().Add(10 * time.Millisecond)); err != nil {
				t.Errorf("%s: %v", proto, err)
			}
			select {
			case <-r.Context().Done():
				t.Errorf("%s: the request ended while its handler worked: %v", proto, context.Cause(r.Context()))
			case <-time.After(300 * time.Millisecond):
			}
		}), Limits{}))
		s.EnableHTTP2 = proto == "HTTP/2.0"
		s.StartTLS()
		res, err := s.Client().Post(s.URL, "text/plain", strings.NewReader("a body"))
		if err != nil {
			t.Fatalf("%s: %v", proto, err)
		}
		res.Body.Close()
		s.Close()
	}
}
