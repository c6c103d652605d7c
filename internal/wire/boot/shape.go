package boot

import (
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/form"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/install"
)

// Shape is what Validate asks of one field alone, for whoever describes a HostConfig to others. The zero value asks nothing.
type Shape struct {
	Required    bool
	Form        form.Form
	Max         int // length; 0 is any
	Choices     []string
	Least, Most int // of a number, when Most is not 0
	OrZero      bool
	MinItems    int
	MaxItems    int // 0 is any
}

// Shapes are those of a HostConfig's fields, by path; an item of a list has [] behind the list's.
func Shapes() map[string]Shape {
	label, digest := wire.Forms()
	link, roles := "network.links[].", []string{string(host.RoleUser), string(host.RoleInfra), string(host.RoleHypervisor)}
	return map[string]Shape{
		"version":                   {Required: true, Least: 1, Most: 1},
		"name":                      {Form: label, Max: 63},
		"role":                      {Required: true, Choices: roles},
		"join.cluster":              {Required: true},
		"join.endpoints":            {Required: true, MinItems: 1},
		"join.caPin":                {Required: true, Form: digest},
		"join.token":                {Form: tokenForm},
		"network.ntp[]":             {Form: timeServer},
		link + "name":               {Required: true, Form: linkName},
		link + "pci":                {Form: pciPath},
		link + "mtu":                {Least: 1280, Most: 9216, OrZero: true},
		link + "bond.mode":          {Required: true, Choices: []string{string(ActiveBackup), string(LACP)}},
		link + "bond.links":         {Required: true, MinItems: 1, MaxItems: mostPorts},
		link + "vlan.id":            {Required: true, Least: 1, Most: 4094},
		link + "vlan.link":          {Required: true},
		link + "routes[].to":        {Required: true},
		link + "routes[].via":       {Required: true},
		"console.password":          {Form: passwordForm},
		"console.key":               {Form: challengeForm},
		"log.syslog":                {MaxItems: MaxSyslog},
		"log.syslog[].address":      {Required: true},
		"releases.image":            {Required: true, Form: digest},
		"releases.director":         {Required: true, Form: digest},
		"install.disk.transport":    {Choices: install.Transports},
		"install.disks[].transport": {Choices: install.Transports},
	}
}
