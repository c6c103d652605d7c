package facts

import (
	"io"
	"net"
	"net/http"
	"path/filepath"
	"testing"

	"hardnode.dev/internal/wire/boot"
)

func TestChangeNetwork(t *testing.T) {
	at := filepath.Join(t.TempDir(), "netd.sock")
	l, err := net.Listen("unix", at)
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		raw, _ := io.ReadAll(r.Body)
		switch r.Method + " " + r.URL.Path + " " + string(raw) {
		case `POST /v1/network/try {"network":{"underlay":"up0"},"seconds":30}`:
			io.WriteString(w, `{"confirmed":{},"trial":{"network":{"underlay":"up0"},"seconds":29}}`)
		case "POST /v1/network/confirm {}":
			http.Error(w, "no network is tried now", http.StatusConflict)
		default:
			http.Error(w, string(raw), http.StatusTeapot)
		}
	})}
	done := make(chan struct{})
	go func() { defer close(done); srv.Serve(l) }()
	defer func() { srv.Close(); <-done }()
	s, err := changeNetwork(t.Context(), at, "try", &boot.NetworkTrial{Network: boot.Network{Underlay: "up0"}, Seconds: 30})
	if err != nil || s.Trial == nil || s.Trial.Seconds != 29 {
		t.Errorf("try: %+v, %v", s, err)
	}
	if _, err := changeNetwork(t.Context(), at, "confirm", nil); err == nil || err.Error() != "no network is tried now" {
		t.Errorf("confirm: %v", err)
	}
	if _, err := changeNetwork(t.Context(), at+".none", "revert", nil); err == nil {
		t.Error("nobody there: no error")
	}
}
