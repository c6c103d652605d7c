package facts

import (
	"context"
	"encoding/json"
	"net"
	"net/http"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"hardnode.dev/internal/wire/boot"
)

func TestLinks(t *testing.T) {
	sock := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", sock)
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/v1/links" {
			http.NotFound(w, r)
			return
		}
		json.NewEncoder(w).Encode([]boot.LinkStatus{{Name: "ext", Up: true, Addresses: []netip.Prefix{netip.MustParsePrefix("10.0.2.15/24"),
			netip.MustParsePrefix("169.254.7.7/16")}, Problem: "no lease"},
			{Name: "net0", Up: true, Underlay: true, Addresses: []netip.Prefix{netip.MustParsePrefix("10.77.0.2/24")}}})
	})}
	go srv.Serve(l)
	defer srv.Close()
	ls := &Links{Socket: sock}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- ls.Keep(ctx) }()
	for !ls.Underlay().IsValid() && ctx.Err() == nil {
		time.Sleep(5 * time.Millisecond)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if got := ls.Underlay(); got != netip.MustParseAddr("10.77.0.2") {
		t.Errorf("underlay: got %s", got)
	}
	if got := ls.Addrs(); !slices.Equal(got, []netip.Addr{netip.MustParseAddr("10.77.0.2"), netip.MustParseAddr("10.0.2.15"),
		netip.MustParseAddr("169.254.7.7")}) {
		t.Errorf("addresses: got %v, want the underlay's first", got)
	}
	if got := ls.Global(); !slices.Equal(got, []netip.Addr{netip.MustParseAddr("10.77.0.2"), netip.MustParseAddr("10.0.2.15")}) {
		t.Errorf("global addresses: got %v, want no link-local one", got)
	}
	if got := ls.Problems(); len(got) != 1 || got["ext"] != "no lease" {
		t.Errorf("problems: got %v", got)
	}
	if _, err := Ask(context.Background(), sock, "/v1/nothing"); err == nil {
		t.Error("a path that is not there gave no error")
	}
}

// TestAskSaysWhy: a refusal comes with its reason, and a question that waits ends with its caller.
func TestAskSaysWhy(t *testing.T) {
	sock := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", sock)
	if err != nil {
		t.Fatal(err)
	}
	asked := make(chan struct{}, 1)
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/v1/waits" {
			asked <- struct{}{}
			<-r.Context().Done()
			return
		}
		w.WriteHeader(http.StatusServiceUnavailable)
		json.NewEncoder(w).Encode(map[string]any{"status": 503, "detail": "module veth: no room"})
	})}
	go srv.Serve(l)
	defer srv.Close()
	if _, err := Ask(t.Context(), sock, "/v1/loaded"); err == nil || !strings.HasSuffix(err.Error(), "/v1/loaded: module veth: no room") {
		t.Errorf("got %v, want the detail", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
	go func() { <-asked; cancel() }()
	if _, err := Ask(ctx, sock, "/v1/waits"); err == nil {
		t.Error("a question whose caller has gone gave no error")
	}
}
