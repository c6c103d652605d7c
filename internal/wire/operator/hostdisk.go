package operator

import (
	"hardnode.dev/internal/wire/install"
	"hardnode.dev/internal/wire/slots"
)

// InstallHost wishes that a host's system is put onto one of its disks.
type InstallHost struct{ install.Spec }

// HostInstallation is how far a host's installation is, and which disks it has.
type HostInstallation struct{ install.Status }

// ChangeSlots does something to the systems of an installed host.
type ChangeSlots struct{ slots.Request }

// HostSlots are the systems of an installed host.
type HostSlots struct{ slots.Status }
