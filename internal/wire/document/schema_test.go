package document_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"hardnode.dev/internal/wire/document"
)

// TestHostSchema: the schema accepts what is read, and refuses what a field alone makes wrong. What fields ask of each other it can't know.
func TestHostSchema(t *testing.T) {
	raw, err := jsonschema.UnmarshalJSON(strings.NewReader(string(document.HostSchema())))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	if err := c.AddResource("host.json", raw); err != nil {
		t.Fatal(err)
	}
	schema, err := c.Compile("host.json")
	if err != nil {
		t.Fatal(err)
	}
	digest := "sha256:" + strings.Repeat("0", 64)
	for _, c := range []struct {
		name, old, new string
		read, schema   bool
	}{
		{"as it is", "", "", true, true},
		{"unknown field", "gateway:", "gatway:", false, false},
		{"version", "version: 1", "version: 2", false, false},
		{"no version", "version: 1\n", "", false, false},
		{"no role", "role: user\n", "", false, false},
		{"role", "role: user", "role: king", false, false},
		{"name", "name: host-1", "name: Host_1", false, false},
		{"long name", "name: host-1", "name: " + strings.Repeat("a", 64), false, false},
		{"bad token", "hn1.00000000", "hn2.00000000", false, false},
		{"bad pin", "sha256:", "sha512:", false, false},
		{"no endpoints", "[10.77.0.2:7444]", "[]", false, false},
		{"bad address", "10.77.0.11/24", "10.77.0.11", false, false},
		{"gateway", "10.77.0.1\n", "10.77.0.300\n", false, false},
		{"time servers", "network:\n", "network:\n  ntp: [10.77.0.2, time.example.com]\n", true, true},
		{"time server", "network:\n", "network:\n  ntp: [\"a b\"]\n", false, false},
		{"name of a link", "name: underlay", "name: Underlay", false, false},
		{"MTU", "gateway:", "mtu: 9000\n      gateway:", true, true},
		{"no MTU", "gateway:", "mtu: 0\n      gateway:", true, true},
		{"small MTU", "gateway:", "mtu: 100\n      gateway:", false, false},
		{"text for a number", "gateway:", "mtu: big\n      gateway:", false, false},
		{"text for a yes", "gateway:", "dhcp: maybe\n      gateway:", false, false},
		{"DNS", "gateway:", "dns: [10.77.0.2, \"2001:db8::1\"]\n      gateway:", true, true},
		{"terminals", "data: auto", "data: auto\nconsole: {ttys: [ttyS0, tty1], key: hncp1." + strings.Repeat("A", 52) + "}", true, true},
		{"key", "data: auto", "data: auto\nconsole: {key: hncp1.A}", false, false},
		{"password itself", "data: auto", "data: auto\nconsole: {password: correct horse}", false, false},
		{"releases", "data: auto", "data: auto\nreleases: {image: \"" + digest + "\", director: \"" + digest + "\"}", true, true},
		{"one release repository", "data: auto", "data: auto\nreleases: {image: \"" + digest + "\"}", false, false},
		{"install", "data: auto", "data: auto\ninstall: {disk: {transport: nvme, minGiB: 100}}", true, true},
		{"install, transport", "data: auto", "data: auto\ninstall: {disk: {transport: pigeon}}", false, false},
		{"log server without an address", "data: auto", "data: auto\nlog: {syslog: [{pin: \"" + digest + "\"}]}", false, false},
		{"not of one field: underlay", "network:\n", "network:\n  underlay: lan\n", false, true},
		{"not of one field: wipe", "data: auto", "data: /dev/vda\n  wipe: /dev/vdb", false, true},
		{"not of one field: gateway elsewhere", "10.77.0.1\n", "10.78.0.1\n", false, true},
	} {
		text := strings.Replace(hostConfig, c.old, c.new, 1)
		if c.old != "" && text == hostConfig {
			t.Errorf("%s: there is no %q", c.name, c.old)
		}
		_, read := document.HostConfig("host-1.yaml", []byte(text))
		var doc any
		if err := yaml.Unmarshal([]byte(text), &doc); err != nil {
			t.Fatal(err)
		}
		plain, err := json.Marshal(doc)
		if err != nil {
			t.Fatal(err)
		}
		value, err := jsonschema.UnmarshalJSON(strings.NewReader(string(plain)))
		if err != nil {
			t.Fatal(err)
		}
		says := schema.Validate(value)
		if (read == nil) != c.read || (says == nil) != c.schema {
			t.Errorf("%s: read: %v, want %v; schema: %v, want %v", c.name, read, c.read, says, c.schema)
		}
	}
}
