package operator

import (
	"hardnode.dev/internal/wire/install"
	"hardnode.dev/internal/wire/slots"
	"hardnode.dev/internal/wire/smart"
	"hardnode.dev/internal/wire/storage"
)

// InstallHost wishes that a host's system is put onto one of its disks.
type InstallHost struct{ install.Spec }

// HostInstallation is how far a host's installation is, and which disks it has.
type HostInstallation struct{ install.Status }

// ChangeSlots does something to the systems of an installed host.
type ChangeSlots struct{ slots.Request }

// HostSlots are the systems of an installed host.
type HostSlots struct{ slots.Status }

// ReplaceDisk wishes that another disk takes the place of one that is gone from a host on two disks, or is the second one of a host on one.
type ReplaceDisk struct{ storage.Replace }

// AcknowledgeDisk has the errors that a host counts of one of its disks be counted anew.
type AcknowledgeDisk struct{ storage.Acknowledge }

// HostDisk is one disk of a host and its health.
type HostDisk struct{ smart.Health }

// HostDisks is how the disks are that a host lies on.
type HostDisks struct{ storage.Status }
