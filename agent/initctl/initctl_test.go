package initctl

import (
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"hardnode.dev/internal/wire/upkeep"
)

// TestLeave: init is told who, why and how; what it refuses is an error with its words.
func TestLeave(t *testing.T) {
	var asked []string
	status, answer := http.StatusAccepted, `{}`
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/{what}", func(w http.ResponseWriter, r *http.Request) {
		raw, _ := io.ReadAll(r.Body)
		asked = append(asked, r.PathValue("what")+" "+string(raw))
		w.WriteHeader(status)
		io.WriteString(w, answer)
	})
	socket := filepath.Join(t.TempDir(), "init.sock")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: mux}
	go srv.Serve(l)
	defer srv.Close()

	for _, c := range []struct {
		order upkeep.Leave
		want  string
	}{
		{upkeep.Leave{By: "admin", Reason: "new memory"}, `reboot {"by":"admin","reason":"new memory"}`},
		{upkeep.Leave{By: "admin", Kexec: true, Reason: "x"}, `kexec {"by":"admin","reason":"x"}`},
		{upkeep.Leave{By: "admin", PowerOff: true}, `poweroff {"by":"admin","reason":"no reason given"}`},
	} {
		asked = nil
		if err := Leave(t.Context(), socket, c.order); err != nil || len(asked) != 1 || asked[0] != c.want {
			t.Errorf("%+v: asked %q, %v; want %q", c.order, asked, err, c.want)
		}
	}
	status, answer = http.StatusBadRequest, `{"detail":"the body is odd"}`
	if err := Leave(t.Context(), socket, upkeep.Leave{By: "admin"}); err == nil || !strings.Contains(err.Error(), "the body is odd") {
		t.Errorf("refused: %v", err)
	}
	asked = nil
	if err := Leave(t.Context(), socket, upkeep.Leave{By: "a\nb"}); err == nil || len(asked) > 0 {
		t.Errorf("an order of two lines: %v, asked %q", err, asked)
	}
	if err := Leave(t.Context(), socket+"x", upkeep.Leave{By: "admin"}); err == nil {
		t.Error("nobody listens, no error")
	}
}
