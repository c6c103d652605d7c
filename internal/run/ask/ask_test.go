package ask

import (
	"context"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"hardnode.dev/internal/run/socket"
)

// serve answers at a path until the test ends.
func serve(t *testing.T, at string, h http.HandlerFunc) {
	t.Helper()
	l, err := socket.Listen(at, 0)
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: h}
	done := make(chan struct{})
	go func() { defer close(done); srv.Serve(l) }()
	t.Cleanup(func() { srv.Close(); <-done })
}

// TestAnswers: documents both ways, texts, a header of one conversation alone, and refusals with what was said.
func TestAnswers(t *testing.T) {
	at := filepath.Join(t.TempDir(), "s")
	serve(t, at, func(w http.ResponseWriter, r *http.Request) {
		raw, _ := io.ReadAll(r.Body)
		switch r.Method + " " + r.URL.Path {
		case "POST /echo":
			io.WriteString(w, `{"a":"`+string(raw)+r.Header.Get("X-One")+`"}`)
		case "GET /text":
			io.WriteString(w, "some text")
		case "GET /problem":
			w.WriteHeader(http.StatusServiceUnavailable)
			io.WriteString(w, `{"status":503,"detail":"module veth: no room"}`)
		default:
			http.Error(w, "there is no such path", http.StatusNotFound)
		}
	})
	c := To("it", at)
	one := c.With("X-One", "1")
	for _, x := range []struct {
		c    *Client
		want string
	}{{c, "x"}, {one, "x1"}, {one.With("X-One", ""), "x"}, {c, "x"}} {
		var got struct{ A string }
		if err := x.c.Send(t.Context(), "/echo", []byte("x"), &got); err != nil || got.A != x.want {
			t.Errorf("got %q, %v; want %q", got.A, err, x.want)
		}
	}
	if raw, err := c.Raw(t.Context(), "/text"); err != nil || string(raw) != "some text" {
		t.Errorf("got %q, %v", raw, err)
	}
	if err := c.Get(t.Context(), "/text", new(struct{})); err == nil || !strings.Contains(err.Error(), "no document") {
		t.Errorf("a text for a document: %v", err)
	}
	if _, err := c.Raw(t.Context(), "/problem"); !Refused(err, http.StatusServiceUnavailable) || err.Error() != "module veth: no room" {
		t.Errorf("a problem: %v", err)
	}
	if err := c.Post(t.Context(), "/none", struct{}{}, nil); !Refused(err, http.StatusNotFound) || err.Error() != "there is no such path" {
		t.Errorf("a refusal: %v", err)
	}
}

// TestPatience: a program that comes while it is waited for is asked; who does not wait, or stops waiting, hears that it is not there.
func TestPatience(t *testing.T) {
	at := filepath.Join(t.TempDir(), "s")
	c := To("the agent", at)
	if _, err := c.Raw(t.Context(), "/"); !Refused(err, 0) || err.Error() != "the agent does not answer" {
		t.Errorf("nobody there: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	if _, err := c.Patient(time.Hour, cancel).Raw(ctx, "/"); !Refused(err, 0) {
		t.Errorf("stopped: %v", err)
	}
	told := 0
	patient := c.Patient(time.Minute, func() {
		if told++; told == 1 {
			serve(t, at, func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "here") })
		}
	})
	if raw, err := patient.Raw(t.Context(), "/"); err != nil || string(raw) != "here" || told != 1 {
		t.Errorf("got %q, %v; told %d times", raw, err, told)
	}
}
