package host

import (
	"errors"
	"fmt"
)

// MaxPorts is how many ports a user's container may publish.
const MaxPorts = 16

// CheckPublished says why a user's port can't be published, or nil: ports below 1024 and those of the platform are not for users.
func CheckPublished(p Port) error {
	switch {
	case p.Proto != "tcp" && p.Proto != "udp":
		return fmt.Errorf("protocol %q: want tcp or udp", p.Proto)
	case p.Container == 0:
		return errors.New("port 0 of the node: want 1 to 65535")
	case p.Host < 1024:
		return fmt.Errorf("port %d of the host: want 1024 to 65535", p.Host)
	case p.Host >= 7440 && p.Host <= 7449 || p.Host == 4011:
		return fmt.Errorf("port %d of the host is the platform's: choose another than 4011 and 7440 to 7449", p.Host)
	}
	return nil
}

func (c Container) validatePorts() error {
	if len(c.Ports) > 0 && c.Env == "jelastic" {
		return errors.New("containers of jelastic have no users' ports")
	}
	if len(c.Ports) > MaxPorts {
		return fmt.Errorf("it publishes %d ports, at most %d are allowed", len(c.Ports), MaxPorts)
	}
	for _, p := range c.Ports {
		if err := CheckPublished(p); err != nil {
			return fmt.Errorf("published: %v", err)
		}
	}
	return nil
}
