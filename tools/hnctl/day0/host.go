package day0

import (
	"bytes"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"text/template"
	"time"

	"hardnode.dev/internal/identity"
	"hardnode.dev/internal/wire/boot"
	"hardnode.dev/internal/wire/document"
)

var hostTemplate = template.Must(template.New("host").Parse(`# Host configuration of {{.Name}}, cluster {{.Cluster}} ({{.Title}}).
# It holds a one-time join token, good until {{.Until}}: keep it private. Check changes with: hnctl host config validate FILE
version: 1
name: {{.Name}}
role: {{.Role}}
join:
  cluster: {{.Cluster}}
  endpoints:{{range .Endpoints}}
    - {{.}}{{end}}
  caPin: {{.Pin}}
  token: {{.Token}}
network:
{{- if .Links}}
  underlay: {{(index .Links 0).Name}}
  links:{{range .Links}}
    - name: {{.Name}}
{{- if .MAC}}
      mac: "{{.MAC}}"{{end}}
{{- if .PCI}}
      pci: "{{.PCI}}"{{end}}
{{- if .DHCP}}
      dhcp: true{{end}}
{{- if .Addresses}}
      addresses:{{range .Addresses}}
        - {{.}}{{end}}{{end}}
{{- if .Gateway.IsValid}}
      gateway: {{.Gateway}}{{end}}
{{- if .DNS}}
      dns:{{range .DNS}}
        - {{.}}{{end}}{{end}}
{{- if .MTU}}
      mtu: {{.MTU}}{{end}}{{end}}
{{- else}}
  # No links: every Ethernet link uses DHCP. To choose them:
  # links:
  #   - name: underlay
  #     mac: "52:54:00:00:00:01"
  #     addresses: [192.0.2.11/24]
  #     gateway: 192.0.2.1
  links: []
{{- end}}
storage:
  # The only blank disk, formatted at first boot. A disk that holds anything is never touched unless wipe names it.
  data: auto
`))

// hostConfig is the configuration of host number n; it is read back, so what is written is valid.
func (c cluster) hostConfig(n int, now time.Time) (File, error) {
	name, role := c.hostName(n)
	links, endpoints, path, what := c.HostLinks[n], []string{net.JoinHostPort(c.Infra.String(), hostPort)}, name+".yaml",
		"configuration of user host "+name
	if n == 0 {
		// Its own address first: the container's has no route before the agent has made one.
		endpoints = append(endpoints, c.hostAPI()[0])
		links, path, what = c.InfraLinks, "infra.yaml", "configuration of the infra host"
	}
	var b bytes.Buffer
	err := hostTemplate.Execute(&b, map[string]any{
		"Name": name, "Role": role, "Cluster": c.id, "Title": c.Name, "Until": now.Add(c.JoinWithin).UTC().Format("2006-01-02 15:04 UTC"),
		"Endpoints": endpoints, "Pin": identity.Pin(c.root.Cert), "Token": c.tokens[n].Reveal(), "Links": links,
	})
	if err != nil {
		return File{}, fmt.Errorf("write configuration of %s: %v", name, err)
	}
	if _, err := document.HostConfig(path, b.Bytes()); err != nil {
		return File{}, fmt.Errorf("check configuration of %s: %w", name, err)
	}
	return File{path, b.Bytes(), what + ": fw_cfg " + boot.FwCfgConfig + ", a volume labelled HARDNODE, or hardnode.config=URL"}, nil
}

// ParseLink reads a link as a flag gives it: name=NAME,mac=MAC|pci=PATH,dhcp|address=CIDR[,gateway=IP][,dns=IP][,mtu=N].
func ParseLink(s string) (boot.Link, error) {
	var l boot.Link
	fail := func(part string, err error) (boot.Link, error) {
		if err != nil {
			return l, fmt.Errorf("link %q: %q: %v", s, part, err)
		}
		return l, fmt.Errorf("link %q: %q: want name=, mac=, pci=, dhcp, address=, gateway=, dns= or mtu=", s, part)
	}
	for _, part := range strings.Split(s, ",") {
		key, value, _ := strings.Cut(part, "=")
		var err error
		switch key {
		case "name":
			l.Name = value
		case "mac":
			l.MAC = strings.ToLower(value)
		case "pci":
			l.PCI = value
		case "dhcp":
			l.DHCP = true
		case "address":
			var p netip.Prefix
			p, err = netip.ParsePrefix(value)
			l.Addresses = append(l.Addresses, p)
		case "gateway":
			l.Gateway, err = netip.ParseAddr(value)
		case "dns":
			var a netip.Addr
			a, err = netip.ParseAddr(value)
			l.DNS = append(l.DNS, a)
		case "mtu":
			l.MTU, err = strconv.Atoi(value)
		default:
			return fail(part, nil)
		}
		if err != nil {
			return fail(part, err)
		}
	}
	return l, nil
}
