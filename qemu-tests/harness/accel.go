package harness

import (
	"fmt"
	"os"
	"regexp"
	"sync"
	"time"
)

// AccelVariable overrides how VMs run: "kvm" or "tcg".
const AccelVariable = "HARDNODE_ACCEL"

// acceleration decides once for the process whether KVM is used; why says what is in the way.
var acceleration = sync.OnceValues(func() (kvm bool, why string) {
	cpus, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return false, err.Error()
	}
	f, err := os.OpenFile("/dev/kvm", os.O_RDWR, 0)
	if err == nil {
		f.Close()
	}
	return accelerates(os.Getenv(AccelVariable), err, cpus)
})

var virtualization = regexp.MustCompile(`(?m)^flags\s*:.*\b(vmx|svm)\b`)

// accelerates decides from what the machine says. A /dev/kvm without the processor's own virtualization exists (pagetable VMs inside a
// VM): it lends its processor to kernels made for it alone, and breaks off Debian's with "KVM internal error".
func accelerates(asked string, open error, cpus []byte) (kvm bool, why string) {
	switch {
	case asked == "kvm":
		return true, ""
	case asked == "tcg":
		return false, AccelVariable + "=tcg"
	case open != nil:
		return false, open.Error()
	case !virtualization.Match(cpus):
		return false, fmt.Sprintf("/dev/kvm is there, but the processor has neither vmx nor svm; %s=kvm tries it all the same",
			AccelVariable)
	}
	return true, ""
}

// Accelerated tells whether VMs run under KVM; otherwise QEMU emulates the processor (TCG), some ten times slower.
func Accelerated() bool {
	kvm, _ := acceleration()
	return kvm
}

// Emulated is why VMs don't run under KVM, or "".
func Emulated() string {
	_, why := acceleration()
	return why
}

// Scale is what a test multiplies its time limits by: 1 under KVM, 3 under software emulation.
func Scale() time.Duration {
	if Accelerated() {
		return 1
	}
	return 3
}
