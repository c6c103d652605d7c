package listen

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"golang.org/x/net/http2"
)

// TestStreams: the server says how many requests at once one HTTP/2 connection may have (RFC 9113, section 6.5.2), which the standard
// library refuses more of by itself.
func TestStreams(t *testing.T) {
	for want, limits := range map[uint32]Limits{100: {}, 7: {Streams: 7}} {
		certified := httptest.NewUnstartedServer(nil) // for its certificate
		certified.StartTLS()
		conf := &tls.Config{Certificates: certified.TLS.Certificates, NextProtos: []string{"h2"}}
		certified.Close()
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		ctx, end := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- HTTP(l, conf, http.NotFoundHandler(), limits, nil)(ctx) }()
		c := tls.Client(dial(t, l.Addr().String()), &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}})
		c.SetDeadline(time.Now().Add(time.Minute))
		if _, err := c.Write([]byte(http2.ClientPreface)); err != nil {
			t.Fatal(err)
		}
		framer := http2.NewFramer(c, c)
		if err := framer.WriteSettings(); err != nil {
			t.Fatal(err)
		}
		frame, err := framer.ReadFrame()
		if err != nil {
			t.Fatal(err)
		}
		said, ok := frame.(*http2.SettingsFrame)
		if !ok {
			t.Fatalf("the server begins with %v", frame)
		}
		if got, _ := said.Value(http2.SettingMaxConcurrentStreams); got != want {
			t.Errorf("one connection may have %d requests at once, want %d", got, want)
		}
		c.Close()
		end()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
}
