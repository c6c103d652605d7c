package outward

import (
	"crypto/x509"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
)

func TestAllowed(t *testing.T) {
	own := []netip.Prefix{netip.MustParsePrefix("10.96.0.0/12"), netip.MustParsePrefix("fd48:4e00:1::/48")}
	for _, c := range []struct {
		addr           string
		public, inside bool
	}{
		{"8.8.8.8", true, true}, {"2606:4700::1111", true, true}, {"::ffff:8.8.8.8", true, true},
		{"127.0.0.1", false, true}, {"::1", false, true}, {"::ffff:127.0.0.1", false, true}, {"127.9.9.9", false, true},
		{"10.0.0.1", false, true}, {"192.168.1.1", false, true}, {"172.31.0.1", false, true}, {"fd00::1", false, true},
		{"100.64.0.1", false, true},
		{"169.254.169.254", false, false}, {"fe80::1", false, false}, {"::ffff:169.254.169.254", false, false},
		{"0.0.0.0", false, false}, {"::", false, false}, {"224.0.0.1", false, false}, {"ff02::1", false, false},
		{"255.255.255.255", false, false}, {"0.1.2.3", false, false}, {"240.0.0.1", false, false}, {"198.18.0.1", false, false},
		{"64:ff9b::a9fe:a9fe", false, false}, {"2002:a9fe:a9fe::", false, false}, {"::169.254.169.254", false, false},
		{"10.96.0.13", false, false}, {"::ffff:10.96.0.13", false, false}, {"fd48:4e00:1::7", false, false},
	} {
		a := netip.MustParseAddr(c.addr)
		for inside, want := range map[bool]bool{false: c.public, true: c.inside} {
			if err := (Rules{Inside: inside, Own: own}).Allowed(a); (err == nil) != want {
				t.Errorf("%s, inside %v: %v", c.addr, inside, err)
			}
		}
	}
	if (Rules{Inside: true}).Allowed(netip.Addr{}) == nil {
		t.Error("no address at all is allowed")
	}
}

// TestClient: what is dialed is looked at, a redirect is not followed, a long answer is an error, and nothing goes in the clear.
func TestClient(t *testing.T) {
	var asked atomic.Int64
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		switch r.URL.Path {
		case "/away":
			http.Redirect(w, r, "/", http.StatusFound)
		case "/long":
			io.WriteString(w, strings.Repeat("x", most+1))
		case "/whole":
			io.WriteString(w, strings.Repeat("x", most))
		}
	}))
	defer s.Close()
	pool := x509.NewCertPool()
	pool.AddCert(s.Certificate())
	get := func(r Rules, url string) (int, int, error) {
		resp, err := r.Client(pool).Get(url)
		if err != nil {
			return 0, 0, err
		}
		defer resp.Body.Close()
		raw, err := io.ReadAll(resp.Body)
		return resp.StatusCode, len(raw), err
	}
	if _, _, err := get(Rules{}, s.URL); err == nil || !strings.Contains(err.Error(), "not a public address") || asked.Load() != 0 {
		t.Errorf("a loopback address: %v, asked %d times", err, asked.Load())
	}
	in := Rules{Inside: true}
	if status, _, err := get(in, s.URL+"/away"); err != nil || status != http.StatusFound || asked.Load() != 1 {
		t.Errorf("a redirect: %d %v, asked %d times", status, err, asked.Load())
	}
	if _, n, err := get(in, s.URL+"/whole"); err != nil || n != most {
		t.Errorf("as long as may be: %d %v", n, err)
	}
	if _, _, err := get(in, s.URL+"/long"); err == nil || !strings.Contains(err.Error(), "more than") {
		t.Errorf("a long answer: %v", err)
	}
	if _, _, err := get(in, strings.Replace(s.URL, "https:", "http:", 1)); err == nil || !strings.Contains(err.Error(), "by https only") {
		t.Errorf("in the clear: %v", err)
	}
	if _, _, err := get(Rules{Inside: true, Own: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}, s.URL); err == nil {
		t.Error("the cluster's own is dialed")
	}
	if _, err := in.Client(nil).Get(s.URL); err == nil {
		t.Error("a certificate of nobody's is taken")
	}
}
