package machine

import (
	"errors"

	"hardnode.dev/init/hot"
	"hardnode.dev/internal/wire/boot"
)

// errRescue: nothing is replaced in the rescue system.
var errRescue = errors.New("this is the rescue system: no programs are replaced in it; reboot into a slot")

// service is a service whose program may be replaced: one of the table, that has been started. It is asked once the boot is over.
func (m *Machine) service(name string) hot.Service {
	if h, kept := m.services[name]; kept {
		return h
	}
	return nil
}

// replace takes an order to replace programs. The boot must be over: its steps write what is read here.
func (m *Machine) replace(o boot.HotOrder) error {
	select {
	case <-m.booted:
		return m.hot.Order(o)
	default:
	}
	if m.rescue {
		return errRescue
	}
	return errors.New("the boot is not over yet: try again")
}
