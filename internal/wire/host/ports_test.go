package host

import (
	"strings"
	"testing"
)

func TestCheckPublished(t *testing.T) {
	for want, ports := range map[string][]Port{
		"":                   {{"tcp", 1024, 80}, {"udp", 20053, 53}, {"tcp", 65535, 65535}, {"tcp", 7450, 1}},
		"want tcp or udp":    {{"sctp", 20000, 80}, {"", 20000, 80}},
		"of the node":        {{"tcp", 20000, 0}},
		"want 1024 to 65535": {{"tcp", 80, 80}, {"udp", 0, 80}},
		"is the platform's":  {{"tcp", 7440, 80}, {"tcp", 7449, 80}, {"udp", 4011, 80}},
	} {
		for _, p := range ports {
			if err := CheckPublished(p); (want == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), want) {
				t.Errorf("%+v: got %v, want %q", p, err, want)
			}
		}
	}
	c := Container{Env: "jelastic", Ports: []Port{{"tcp", 20000, 80}}}
	if c.validatePorts() == nil {
		t.Error("a component publishes a user's port")
	}
	c = Container{Env: "hello", Ports: make([]Port, MaxPorts+1)}
	if err := c.validatePorts(); err == nil || !strings.Contains(err.Error(), "at most 16") {
		t.Errorf("too many: %v", err)
	}
}
