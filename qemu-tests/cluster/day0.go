package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"hardnode.dev/internal/build"
	"hardnode.dev/internal/wire/document"
	"hardnode.dev/qemu-tests/harness/ether"
)

// Name and Domain of the cluster.
const (
	Name   = "demo"
	domain = "demo.hardnode.internal"
)

// day0 is where the decisions of day 0 lie, and what of them is needed here.
type day0 struct {
	jls   string // what `jls init` made
	admin string // what `hnctl cluster init` made
	caPin string
}

// made is the document that tells a later run what this one decided.
type made struct {
	Version int    `json:"version"` // 1
	Hosts   int    `json:"hosts"`   // that have a configuration, spare ones included
	Seats   int    `json:"seats"`
	Ports   Ports  `json:"ports"`
	CAPin   string `json:"caPin"`
	Built   string `json:"built"` // version of the programs that made it
}

// makeDay0 makes the licence server's keys, a licence and the cluster, offline, as an operator would; or takes up what an earlier run kept.
func (c *Cluster) makeDay0(detail detail) error {
	c.Domain = domain
	c.day0 = day0{jls: filepath.Join(c.Dir, "jls"), admin: filepath.Join(c.Dir, "admin")}
	kept, err := c.keptDay0()
	if err != nil || kept {
		return err
	}
	ctx, licence := c.ctx, filepath.Join(c.Dir, "jls", "demo.licence")
	if _, err := c.tool(ctx, "jls", "init", "--dir", c.day0.jls); err != nil {
		return err
	}
	if _, err := c.tool(ctx, "jls", "licence", "issue", "--dir", c.day0.jls, "--customer", "Demo", "--hosts", fmt.Sprint(c.opts.Seats),
		"--days", "365", "-o", licence); err != nil {
		return err
	}
	all := c.opts.Hosts + c.opts.Spare
	args := []string{"cluster", "init", "--dir", c.day0.admin, "--name", Name, "--domain", domain, "--infra-address", infraAddr.String(),
		"--external", fmt.Sprintf("127.0.0.1:%d", c.Ports.API), "--hosts", fmt.Sprint(all), "--licence", licence, "--jls-dir", c.day0.jls,
		"--registry-external", fmt.Sprintf("127.0.0.1:%d", c.Ports.Registry), "--jls-external", fmt.Sprintf("127.0.0.1:%d", c.Ports.JLS),
		"--images", filepath.Join(c.Root, "out/image/images.json"), "-o", "json",
		"--infra-link", fmt.Sprintf("name=underlay,mac=%s,address=%s/%d", ether.MAC(infraName, 0), infraAddr, underlay.Bits()),
		"--infra-link", fmt.Sprintf("name=outside,mac=%s,dhcp", ether.MAC(infraName, 1))}
	for n := 1; n <= all; n++ {
		args = append(args, "--host-link",
			fmt.Sprintf("%d:name=underlay,mac=%s,address=%s/%d", n, ether.MAC(hostName(n), 0), hostAddr(n), underlay.Bits()))
	}
	out, err := c.tool(ctx, "hnctl", append(args, c.opts.Init...)...)
	if err != nil {
		return err
	}
	var answer struct {
		Cluster string `json:"cluster"`
		CAPin   string `json:"caPin"`
	}
	if err := json.Unmarshal([]byte(out), &answer); err != nil || answer.CAPin == "" {
		return fmt.Errorf("hnctl cluster init -o json: %v in %q", err, out)
	}
	c.day0.caPin = answer.CAPin
	detail("cluster %s, licence for %d user hosts", answer.Cluster, c.opts.Seats)
	doc, err := json.MarshalIndent(made{Version: 1, Hosts: all, Seats: c.opts.Seats, Ports: c.Ports, CAPin: answer.CAPin,
		Built: build.Version}, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(c.Dir, madeFile), doc, 0o600)
}

const madeFile = "made.json"

// keptDay0 takes up what an earlier run kept; its ports must be free again, since hnctl's configuration names one.
func (c *Cluster) keptDay0() (bool, error) {
	raw, err := os.ReadFile(filepath.Join(c.Dir, madeFile))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	var m made
	if err := json.Unmarshal(raw, &m); err != nil || m.Version != 1 {
		return false, fmt.Errorf("read %s: %v, version %d; start without --keep to make everything anew", madeFile, err, m.Version)
	}
	if m.Hosts < c.opts.Hosts+c.opts.Spare {
		return false, fmt.Errorf("the kept cluster was made for %d user hosts, not %d; start without --keep to make it anew", m.Hosts,
			c.opts.Hosts+c.opts.Spare)
	}
	for _, f := range m.Ports.Table() {
		if !Free(f.Host) {
			return false, fmt.Errorf("the kept cluster uses port %d for the %s, but something else listens there; end it (ss -ltnp), or "+
				"start without --keep", f.Host, f.What)
		}
	}
	c.Ports, c.day0.caPin, c.opts.Seats = m.Ports, m.CAPin, m.Seats
	return true, nil
}

// tool runs one of our programs and returns what it printed on stdout.
func (c *Cluster) tool(ctx context.Context, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, c.bin(name), args...)
	var talk strings.Builder
	cmd.Stderr = &talk
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%s %s: %v: %s", name, strings.Join(args[:min(2, len(args))], " "), err, strings.TrimSpace(talk.String()))
	}
	return strings.TrimSpace(string(out)), nil
}

// hostConfig is the machine's configuration document, checked.
func (c *Cluster) hostConfig(m *Machine) ([]byte, error) {
	file := filepath.Join(c.day0.admin, m.Name+".yaml")
	if m.Infra {
		file = filepath.Join(c.day0.admin, "infra.yaml")
	}
	raw, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("configuration of %s: %v", m.Name, err)
	}
	if !m.Infra {
		raw = append(raw, c.opts.Config...)
	}
	if _, err := document.HostConfig(file, raw); err != nil {
		return nil, err
	}
	return raw, nil
}

// HNCTLEnv is the environment that points hnctl at this cluster, as "K=V".
func (c *Cluster) HNCTLEnv() []string {
	return []string{"HNCTL_CONFIG=" + filepath.Join(c.day0.admin, "hnctl")}
}

// TokenFile is the file with the admin token.
func (c *Cluster) TokenFile() string { return filepath.Join(c.day0.admin, "hnctl", "token") }

// RootCA is the file with the certificate browsers need for the panel.
func (c *Cluster) RootCA() string { return filepath.Join(c.day0.admin, "admin", "root-ca.crt") }
