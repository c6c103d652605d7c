package health

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"hardnode.dev/internal/wire/host"
)

func TestProbe(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/ok":
			rw.WriteHeader(http.StatusNoContent)
		case "/moved":
			http.Redirect(rw, r, "/ok", http.StatusFound)
		case "/slow":
			<-r.Context().Done()
		default:
			rw.WriteHeader(http.StatusBadGateway)
		}
	}))
	defer srv.Close()
	mute, err := net.Listen("tcp", "127.0.0.1:0") // accepts and says something that is not HTTP
	if err != nil {
		t.Fatal(err)
	}
	defer mute.Close()
	go func() {
		for {
			c, err := mute.Accept()
			if err != nil {
				return
			}
			fmt.Fprint(c, "220 mail.example ESMTP\r\n")
			c.Close()
		}
	}()
	at := func(a string) netip.AddrPort { return netip.MustParseAddrPort(a) }
	web, other := at(srv.Listener.Addr().String()), at(mute.Addr().String())
	tests := []struct {
		name  string
		to    netip.AddrPort
		check host.Check
		want  string
	}{
		{"TCP", other, host.Check{Port: other.Port()}, ""},
		{"nobody listens", at("127.0.0.1:1"), host.Check{Port: 1}, "connect to port 1"},
		{"204", web, host.Check{Port: web.Port(), Path: "/ok"}, ""},
		{"302 passes and is not followed", web, host.Check{Port: web.Port(), Path: "/moved"}, ""},
		{"502", web, host.Check{Port: web.Port(), Path: "/bad"}, "status 502 Bad Gateway"},
		{"no answer", web, host.Check{Port: web.Port(), Path: "/slow"}, "timeout"},
		{"not HTTP", other, host.Check{Port: other.Port(), Path: "/"}, "does not speak HTTP"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			patience := 20 * time.Second
			if tt.check.Path == "/slow" {
				patience = 300 * time.Millisecond
			}
			ctx, cancel := context.WithTimeout(context.Background(), patience)
			defer cancel()
			err := Probe(ctx, tt.to.Addr(), tt.check)
			if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}
