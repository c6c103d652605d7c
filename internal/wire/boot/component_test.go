package boot

import (
	"strings"
	"testing"
)

var hash = "sha256:" + strings.Repeat("0a", 32)

func TestDecodeRegistryConfig(t *testing.T) {
	good := `{"version":1,"cluster":"cl-0123456789abcdef","caPin":"` + hash + `","pushToken":"` + hash + `"}`
	for _, c := range []struct{ name, doc, want string }{
		{"good", good, ""},
		{"plain token", strings.Replace(good, `"pushToken":"`+hash, `"pushToken":"secret`, 1), "pushToken"},
		{"no pin", strings.Replace(good, `"caPin":"`+hash, `"caPin":"`, 1), "caPin"},
		{"unknown", strings.Replace(good, "caPin", "pin", 1), `field "caPin" is missing`},
		{"of a later version", strings.Replace(good, "{", `{"more":[1],`, 1), ""},
		{"cluster", strings.Replace(good, "cl-0", "x-0", 1), "cluster id"},
		{"trailing", good + "1", "more behind"},
	} {
		if _, err := DecodeRegistryConfig([]byte(c.doc)); (c.want == "") != (err == nil) || err != nil &&
			!strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want an error with %q", c.name, err, c.want)
		}
	}
}

func TestDecodeResolverConfig(t *testing.T) {
	good := `{"version":1,"cluster":"cl-0123456789abcdef","caPin":"` + hash + `","orchestrator":["10.77.0.2:7444"]}`
	for _, c := range []struct{ name, doc, want string }{
		{"good", good, ""},
		{"none", strings.Replace(good, `"10.77.0.2:7444"`, "", 1), "at least one"},
		{"no port", strings.Replace(good, ":7444", "", 1), "want host:port"},
		{"version", strings.Replace(good, `"version":1`, `"version":9`, 1), "version"},
		{"a proxy", strings.Replace(good, "]}", `],"trustedProxies":["192.0.2.10/32","2001:db8::/48"]}`, 1), ""},
		{"everybody a proxy", strings.Replace(good, "]}", `],"trustedProxies":["0.0.0.0/0"]}`, 1), "too much of the world"},
		{"everybody a proxy, in IPv6", strings.Replace(good, "]}", `],"trustedProxies":["::/0"]}`, 1), "too much of the world"},
		{"bits behind the network", strings.Replace(good, "]}", `],"trustedProxies":["192.0.2.10/24"]}`, 1), "trusted proxy"},
		{"no network", strings.Replace(good, "]}", `],"trustedProxies":["gateway"]}`, 1), "gateway"},
	} {
		if _, err := DecodeResolverConfig([]byte(c.doc)); (c.want == "") != (err == nil) || err != nil &&
			!strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want an error with %q", c.name, err, c.want)
		}
	}
}

func TestDecodeNetbootConfig(t *testing.T) {
	good := `{"version":1,"cluster":"cl-0123456789abcdef","caPin":"` + hash + `","orchestrator":["10.96.0.13:7444"]}`
	for _, c := range []struct{ name, doc, want string }{
		{"good", good, ""},
		{"none", strings.Replace(good, `"10.96.0.13:7444"`, "", 1), "at least one"},
		{"no port", strings.Replace(good, ":7444", "", 1), "want host:port"},
		{"version", strings.Replace(good, `"version":1`, `"version":9`, 1), "version"},
		{"no pin", strings.Replace(good, hash, "", 1), "caPin"},
	} {
		if _, err := DecodeNetbootConfig([]byte(c.doc)); (c.want == "") != (err == nil) || err != nil &&
			!strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want an error with %q", c.name, err, c.want)
		}
	}
}

func TestDecodePatcherConfig(t *testing.T) {
	good := `{"version":1,"cluster":"cl-0123456789abcdef","caPin":"` + hash + `","api":["10.77.0.2:7443"],"token":"hnt1.x"}`
	for _, c := range []struct{ name, doc, want string }{
		{"good", good, ""},
		{"no address", strings.Replace(good, `"10.77.0.2:7443"`, "", 1), "api: name at least one"},
		{"no port", strings.Replace(good, ":7443", "", 1), "want host:port"},
		{"no token", strings.Replace(good, "hnt1.x", "", 1), "token: is empty"},
		{"of a later version", strings.Replace(good, "{", `{"more":[1],`, 1), ""},
	} {
		if _, err := DecodePatcherConfig([]byte(c.doc)); (c.want == "") != (err == nil) || err != nil &&
			!strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want an error with %q", c.name, err, c.want)
		}
	}
}

// TestScript: what comes before the kernel's arguments are they; a configuration is named behind them.
func TestScript(t *testing.T) {
	s := Script{Profile: "host", Arguments: []string{"panic=10", "hardnode.mem=3G", "reserve_mem=128K:4096:hardnode"}}
	plain := "\nkernel --timeout 20000 --name vmlinuz vmlinuz initrd=host.initrd panic=10 hardnode.mem=3G reserve_mem=128K:4096:hardnode"
	if got := s.String(); !strings.Contains(got, plain+" || goto failed\n") || strings.Contains(got, "config") {
		t.Errorf("got %s", got)
	}
	s.Config = true
	if got := s.String(); !strings.Contains(got, plain+" hardnode.config=${config} || goto failed\n") || strings.Contains(got, "imgfetch") {
		t.Errorf("got %s", got)
	}
	s.Own = true
	if got := s.String(); !strings.Contains(got, "set config ${filename}/../configs/${netX/mac:hexhyp}.yaml ||\n"+plain[1:]) {
		t.Errorf("got %s", got)
	}
}

func FuzzDecodeResolverConfig(f *testing.F) {
	f.Add([]byte(`{"version":1,"cluster":"cl-0123456789abcdef","caPin":"` + hash + `","orchestrator":["10.77.0.2:7444"]}`))
	f.Fuzz(func(t *testing.T, doc []byte) {
		if c, err := DecodeResolverConfig(doc); err == nil && len(c.Orchestrator) == 0 {
			t.Errorf("accepted %q without an orchestrator", doc)
		}
		if c, err := DecodeRegistryConfig(doc); err == nil && c.PushToken == "" {
			t.Errorf("accepted %q without a token", doc)
		}
	})
}

func TestDecodeMeteringConfig(t *testing.T) {
	good := `{"version":1,"cluster":"cl-0123456789abcdef","caPin":"` + hash + `","orchestrator":["10.96.0.13:7444"]}`
	for _, c := range []struct{ name, doc, want string }{
		{"good", good, ""},
		{"of a later version", strings.Replace(good, "{", `{"more":[1],`, 1), ""},
		{"none", strings.Replace(good, `"10.96.0.13:7444"`, "", 1), "at least one"},
		{"no port", strings.Replace(good, ":7444", "", 1), "want host:port"},
		{"version", strings.Replace(good, `"version":1`, `"version":9`, 1), "version"},
		{"no pin", strings.Replace(good, hash, "", 1), "caPin"},
	} {
		if _, err := DecodeMeteringConfig([]byte(c.doc)); (c.want == "") != (err == nil) || err != nil &&
			!strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want an error with %q", c.name, err, c.want)
		}
	}
}
