package facts

import (
	"context"
	"encoding/json"
	"net"
	"net/http"
	"net/netip"
	"path/filepath"
	"slices"
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
		json.NewEncoder(w).Encode([]boot.LinkStatus{{Name: "ext", Up: true, Addresses: []netip.Prefix{netip.MustParsePrefix("10.0.2.15/24")}, Problem: "no lease"},
			{Name: "net0", Up: true, Underlay: true, Addresses: []netip.Prefix{netip.MustParsePrefix("10.77.0.2/24")}}})
	})}
	go srv.Serve(l)
	defer srv.Close()
	ls := &Links{Socket: sock}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
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
	if got := ls.Addrs(); !slices.Equal(got, []netip.Addr{netip.MustParseAddr("10.77.0.2"), netip.MustParseAddr("10.0.2.15")}) {
		t.Errorf("addresses: got %v, want the underlay's first", got)
	}
	if got := ls.Problems(); len(got) != 1 || got["ext"] != "no lease" {
		t.Errorf("problems: got %v", got)
	}
	if _, err := Ask(context.Background(), sock, "/v1/nothing"); err == nil {
		t.Error("a path that is not there gave no error")
	}
}
