package talk

import (
	"encoding/json"
	"strings"
	"testing"

	"hardnode.dev/internal/wire/boot"
)

func TestEditLinks(t *testing.T) {
	var n boot.Network
	if err := json.Unmarshal([]byte(`{"links":[{"name":"up0","mac":"52:54:00:aa:00:01","dhcp":true},`+
		`{"name":"lan0","pci":"0000:00:03.0","addresses":["10.0.0.2/24"],"mtu":9000}],"underlay":"lan0"}`), &n); err != nil {
		t.Fatal(err)
	}
	before, _ := json.Marshal(n)
	for words, want := range map[string]string{
		"up0 10.1.0.2/24 gateway=10.1.0.1 dns=10.1.0.3 dns=10.1.0.4": `{"name":"up0","mac":"52:54:00:aa:00:01","addresses":["10.1.0.2/24"],` +
			`"gateway":"10.1.0.1","dns":["10.1.0.3","10.1.0.4"]}`,
		"lan0 dhcp mtu=1500":          `{"name":"lan0","pci":"0000:00:03.0","dhcp":true,"mtu":1500}`,
		"new0 52:54:00:AA:00:09 dhcp": `{"name":"new0","mac":"52:54:00:aa:00:09","dhcp":true}`,
		"up0 0000:00:05.0 fd00::1/64": `{"name":"up0","pci":"0000:00:05.0","addresses":["fd00::1/64"]}`,
		"new0 dhcp":                   "error: link new0 is new",
		"up0 0000:00:05.0 and b bond=802.3ad:up0 and lan0 vlan=7@b fd00::2/64 route=::/0@fe80::1": `{"name":"up0","pci":"0000:00:05.0"},` +
			`{"name":"lan0","vlan":{"id":7,"link":"b"},"addresses":["fd00::2/64"],"routes":[{"to":"::/0","via":"fe80::1"}]},` +
			`{"name":"b","bond":{"mode":"802.3ad","links":["up0"]}}`,
		"up0 and b bond=active-backup:up0 primary=up0 dhcp": `{"name":"b","bond":{"mode":"active-backup","links":["up0"],"primary":"up0"},"dhcp":true}`,
		"up0 dhcp and":                     "error: name the link",
		"up0 dhcp primary=up0":             `error: "primary=up0": want dhcp`,
		"v vlan=x@up0 dhcp":                `error: "vlan=x@up0": `,
		"v vlan=7@v1 dhcp":                 `error: links[2].vlan.link: there is no link "v1"`,
		"up0 10.1.0.2/24 route=10.0.0.0/8": `error: "route=10.0.0.0/8": `,
		"up0":                              "error: links[0].addresses: link up0 has none",
		"":                                 "error: name the link",
		"up0 dhcp 10.1.0.2":                `error: "10.1.0.2": want dhcp`,
		"up0 10.1.0.2/99":                  `error: "10.1.0.2/99": `,
		"up0 dhcp mtu=a":                   `error: "mtu=a": `,
		"up0 dhcp mtu=1":                   "error: links[0].mtu: 1: want",
		"up0 10.1.0.2/24 gateway=9.9.9.9":  "error: links[0].gateway: 9.9.9.9 is not on a network",
	} {
		got, err := EditLinks(n, strings.Fields(words))
		text := ""
		if err != nil {
			text = "error: " + err.Error()
		}
		raw, _ := json.Marshal(got.Links)
		if !strings.Contains(text+string(raw), want) {
			t.Errorf("%s: got %s %s, want %s", words, text, raw, want)
		}
	}
	if got, err := DropLink(n, "up0"); err != nil || len(got.Links) != 1 || got.Links[0].Name != "lan0" {
		t.Errorf("drop: %+v, %v", got, err)
	}
	for _, name := range []string{"none", "lan0"} { // lan0 is the underlay
		if _, err := DropLink(n, name); err == nil {
			t.Errorf("drop %s: no error", name)
		}
	}
	if after, _ := json.Marshal(n); string(after) != string(before) {
		t.Errorf("the network itself was changed: %s", after)
	}
}
