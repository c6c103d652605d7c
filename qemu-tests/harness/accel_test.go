package harness

import (
	"os"
	"strings"
	"testing"
)

func TestAccelerates(t *testing.T) {
	intel, amd, none := "processor\t: 0\nflags\t\t: fpu vmx lm\nbugs\t:", "flags\t\t: fpu svm\n",
		"flags\t\t: fpu hypervisor svme\nvmx flags\t: ept\n"
	for _, c := range []struct {
		name, asked string
		open        error
		cpus        string
		kvm         bool
		why         string
	}{
		{"intel", "", nil, intel, true, ""},
		{"amd", "", nil, amd, true, ""},
		{"no device", "", &os.PathError{Op: "open", Path: "/dev/kvm", Err: os.ErrNotExist}, intel, false, "/dev/kvm"},
		{"a device without the processor's help", "", nil, none, false, "neither vmx nor svm"},
		{"asked for emulation", "tcg", nil, intel, false, AccelVariable},
		{"asked for KVM", "kvm", nil, none, true, ""},
	} {
		if kvm, why := accelerates(c.asked, c.open, []byte(c.cpus)); kvm != c.kvm || !strings.Contains(why, c.why) || (why == "") != kvm {
			t.Errorf("%s: %v, %q; want %v, %q", c.name, kvm, why, c.kvm, c.why)
		}
	}
}
