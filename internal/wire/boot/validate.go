package boot

import (
	"errors"
	"fmt"
	"net"
	"strings"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/form"
	"hardnode.dev/internal/wire/host"
)

var (
	tokenForm = form.New(`^hn1\.[0-9a-f]{8}\.[0-9a-f]{32}$`)
	// of a kept password; what it may cost is checked where it is compared
	passwordForm = form.New(`^\$argon2id\$v=19\$m=[1-9][0-9]{3,4},t=[1-9][0-9]?,p=[1-4]\$[A-Za-z0-9+/]{11,86}\$[A-Za-z0-9+/]{22,86}$`)
	// of the public key of a challenge (internal/secret/challenge)
	challengeForm = form.New(`^hncp1\.[A-Z2-7]{52}$`)
)

// Validate says which field is wrong and what it should be, or nil.
func (c HostConfig) Validate() error {
	if c.Version != 1 {
		return fmt.Errorf("version: %d is not known, want 1", c.Version)
	}
	// A document that many machines are given names none of them: whoever admits one gives it its name.
	if waits := c.Join != nil && c.Join.Token == ""; c.Name != "" || !waits {
		if err := wire.Label("name", c.Name, 63); err != nil {
			return err
		}
	}
	switch c.Role {
	case host.RoleUser, host.RoleInfra, host.RoleHypervisor:
	default:
		return fmt.Errorf("role: %q is not known, use user, infra or hypervisor", c.Role)
	}
	if c.Join != nil {
		if err := c.Join.validate(); err != nil {
			return fmt.Errorf("join.%w", err)
		}
	}
	if err := c.Network.Validate(); err != nil {
		return fmt.Errorf("network.%w", err)
	}
	if p := c.Console.Password; p != "" && !passwordForm.MatchString(p.Reveal()) {
		return errors.New("console.password: is no kept password: want what `hnctl host config password` prints, never the password itself")
	}
	if k := c.Console.Key; k != "" && !challengeForm.MatchString(k) {
		return errors.New("console.key: is no public key of a challenge: want what `hnctl host config console-key` prints")
	}
	if c.Log != nil {
		if err := c.Log.validate(); err != nil {
			return fmt.Errorf("log.%w", err)
		}
	}
	if r := c.Releases; r != nil {
		for name, pin := range map[string]wire.Digest{"image": r.Image, "director": r.Director} {
			if pin.Validate() != nil {
				return fmt.Errorf("releases.%s: %q: want sha256: and 64 hex digits, as `hnctl release list` shows it", name, pin)
			}
		}
	}
	if c.Install != nil {
		if err := c.Install.Validate(); err != nil {
			return fmt.Errorf("install.%w", err)
		}
		if c.Storage.Data != "" && c.Storage.Data != "auto" {
			return fmt.Errorf("storage.data: %q: leave it out beside install, which makes DATA on the disk it installs to", c.Storage.Data)
		}
	}
	return c.Storage.validate()
}

func (j Join) validate() error {
	if err := wire.ClusterID(j.Cluster).Validate(); err != nil {
		return fmt.Errorf("cluster: %v", err)
	}
	if len(j.Endpoints) == 0 {
		return fmt.Errorf("endpoints: is empty, name at least one host:port of the orchestrator")
	}
	for i, e := range j.Endpoints {
		if h, p, err := net.SplitHostPort(e); err != nil || h == "" || p == "" {
			return fmt.Errorf("endpoints[%d]: %q: want host:port", i, e)
		}
	}
	if wire.Digest(j.CAPin).Validate() != nil {
		return fmt.Errorf("caPin: %q: want sha256: and 64 hex digits, as `hnctl cluster init` prints it", j.CAPin)
	}
	if j.Token != "" && !tokenForm.MatchString(j.Token.Reveal()) {
		return fmt.Errorf("token: is no join token: want hn1., 8 hex digits, a dot, 32 hex digits")
	}
	return nil
}

func (s Storage) validate() error {
	if s.Data != "" && s.Data != "auto" && s.Data != "none" && !strings.HasPrefix(s.Data, "/dev/") {
		return fmt.Errorf("storage.data: %q: want a device such as /dev/vda, auto, or none", s.Data)
	}
	if s.Wipe != "" && s.Wipe != s.Data {
		return fmt.Errorf("storage.wipe: %q: must name the same device as data, which is %q", s.Wipe, s.Data)
	}
	if _, ok := percent(s.Swap); !ok && s.Swap != "" && s.Swap != "auto" && s.Swap != "none" {
		return fmt.Errorf("storage.swap: %q: want auto, none, or a share of the memory from 1%% to 100%%", s.Swap)
	}
	return nil
}
