package mail

import (
	"testing"
)

func TestSettings(t *testing.T) {
	good := SetMailSettings{Host: "mail.example.com", From: "paas@example.com", Panel: "https://paas.example.com:7443/"}
	n := good.Normal()
	if field, err := n.Validate(); err != nil || n.Port != 587 || n.Security != STARTTLS || n.Panel != "https://paas.example.com:7443" {
		t.Errorf("%+v: %s %v", n, field, err)
	}
	for field, change := range map[string]func(*SetMailSettings){
		"host":     func(s *SetMailSettings) { s.Host = "mail.example.com:25" },
		"port":     func(s *SetMailSettings) { s.Port = 70000 },
		"security": func(s *SetMailSettings) { s.Security = "ssl" },
		"user":     func(s *SetMailSettings) { s.Security, s.User = None, "paas" },
		"from":     func(s *SetMailSettings) { s.From = "Ada <ada@example.com>" },
		"ca":       func(s *SetMailSettings) { s.CA = "x" },
		"panel":    func(s *SetMailSettings) { s.Panel = "http://paas.example.com" },
	} {
		s := good
		change(&s)
		if got, err := s.Normal().Validate(); err == nil || got != field {
			t.Errorf("%s: got %q, %v", field, got, err)
		}
	}
}
