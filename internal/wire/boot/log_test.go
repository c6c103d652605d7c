package boot

import (
	"encoding/pem"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestLogIsValidated(t *testing.T) {
	s := httptest.NewTLSServer(nil)
	defer s.Close()
	ca := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}))
	pin := "sha256:" + strings.Repeat("a", 64)
	for _, c := range []struct {
		servers []Syslog
		want    string
	}{
		{nil, ""},
		{[]Syslog{{Address: "log.example.com:6514", CA: ca}, {Address: "10.0.0.9:6514", Pin: pin}}, ""},
		{[]Syslog{{Address: "log.example.com:6514", CA: ca + "\n" + ca + "\n"}}, ""},
		{[]Syslog{{Address: "log.example.com", Pin: pin}}, "syslog[0].address: "},
		{[]Syslog{{Address: "a:1", Pin: pin}, {Address: "a:1", Pin: pin}}, `syslog[1].address: "a:1" is there twice`},
		{[]Syslog{{Address: "a:1"}}, "syslog[0].ca: server a:1: give either ca or pin"},
		{[]Syslog{{Address: "a:1", CA: ca, Pin: pin}}, "syslog[0].ca: "},
		{[]Syslog{{Address: "a:1", CA: "hello"}}, "syslog[0].ca: is no PEM"},
		{[]Syslog{{Address: "a:1", CA: ca + "hello"}}, "syslog[0].ca: is no PEM"},
		{[]Syslog{{Address: "a:1", Pin: "abc"}}, "syslog[0].pin: "},
		{make([]Syslog, 5), "syslog: has 5 servers"},
	} {
		err := Log{Syslog: c.servers}.validate()
		if (err == nil) != (c.want == "") || err != nil && !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("%+v: got %v, want %q", c.servers, err, c.want)
		}
	}
}
