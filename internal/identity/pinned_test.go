package identity

import (
	"crypto/tls"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
)

func TestPinnedTLS(t *testing.T) {
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	srv.TLS = &tls.Config{MinVersion: tls.VersionTLS13}
	srv.StartTLS()
	defer srv.Close()
	pin := Pin(srv.Certificate())
	for _, c := range []struct {
		name, pin string
		ok        bool
	}{{"right", pin, true}, {"wrong", "sha256:00", false}, {"none", "", false}} {
		client := &http.Client{Transport: &http.Transport{TLSClientConfig: PinnedTLS(c.pin), DisableKeepAlives: true}}
		resp, err := client.Get(srv.URL)
		if err == nil {
			resp.Body.Close()
		}
		var pe *KeyPinError
		if (err == nil) != c.ok || !c.ok && (!errors.As(err, &pe) || pe.Got != pin) {
			t.Errorf("%s pin: got %v", c.name, err)
		}
	}
}
