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
	"hardnode.dev/internal/wire/host"
)

var hostTemplate = template.Must(template.New("host").Parse(`# Host configuration of {{or .Name "any machine"}}, cluster {{.Cluster}} ({{.Title}}).
{{- if .Token}}
# It holds a one-time join token, good until {{.Until}}: keep it private. Check changes with: hnctl host config validate FILE
{{- else}}
# It holds no secret: a machine with it waits, shows a code on its console, and joins after hnctl host admit CODE.
{{- end}}
version: 1
{{- if .Name}}
name: {{.Name}}
{{- end}}
role: {{.Role}}
join:
  cluster: {{.Cluster}}
  endpoints:{{range .Endpoints}}
    - {{.}}{{end}}
  caPin: {{.Pin}}
{{- if .Token}}
  token: {{.Token}}
{{- end}}
{{- if .Releases}}
releases:
  image: {{.Releases.Image}}
  director: {{.Releases.Director}}
{{- end}}
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

// waitingFile is the configuration that is no host's own.
const waitingFile = "waiting.yaml"

// waitingConfig is the configuration of any machine that shall wait to be admitted.
func (c cluster) waitingConfig() (File, error) {
	return c.write(waitingFile, map[string]any{"Role": host.RoleUser, "Endpoints": []string{net.JoinHostPort(c.Infra.String(), hostPort)}},
		"configuration of any further machine, without a secret: it waits until hnctl host admit CODE; it may be hardnode.yaml of make pxe")
}

// hostConfig is the configuration of host number n.
func (c cluster) hostConfig(n int, now time.Time) (File, error) {
	name, role := c.hostName(n)
	links, endpoints, path, what := c.HostLinks[n], []string{net.JoinHostPort(c.Infra.String(), hostPort)}, name+".yaml",
		"configuration of user host "+name
	if n == 0 {
		// Its own address first: the container's has no route before the agent has made one.
		endpoints = append(endpoints, c.hostAPI()[0])
		links, path, what = c.InfraLinks, "infra.yaml", "configuration of the infra host"
	}
	return c.write(path, map[string]any{"Name": name, "Role": role, "Until": now.Add(c.JoinWithin).UTC().Format("2006-01-02 15:04 UTC"),
		"Endpoints": endpoints, "Token": c.tokens[n].Reveal(), "Links": links},
		what+": fw_cfg "+boot.FwCfgConfig+", a volume labelled HARDNODE, or hardnode.config=URL")
}

// write fills the template; what it gives is read back, so what is written is valid.
func (c cluster) write(path string, values map[string]any, what string) (File, error) {
	values["Cluster"], values["Title"], values["Pin"] = c.id, c.Name, identity.Pin(c.root.Cert)
	values["Releases"] = c.Releases
	var b bytes.Buffer
	if err := hostTemplate.Execute(&b, values); err != nil {
		return File{}, fmt.Errorf("write %s: %v", path, err)
	}
	if _, err := document.HostConfig(path, b.Bytes()); err != nil {
		return File{}, fmt.Errorf("check %s: %w", path, err)
	}
	return File{path, b.Bytes(), what}, nil
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
