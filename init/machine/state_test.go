package machine

import (
	"strings"
	"testing"
)

func TestOpened(t *testing.T) {
	for _, c := range []struct{ said, device, note, err string }{
		{"opened /dev/dm-0 bound to the TPM alone: why", "/dev/dm-0", "bound to the TPM alone: why", ""},
		{"level=WARN msg=slow\nopened /dev/dm-1 bound", "/dev/dm-1", "bound", ""},
		{"level=WARN msg=slow\nthis is another TPM", "", "", "this is another TPM"},
		{"this machine shows no TPM 2.0", "", "", "no TPM 2.0"},
	} {
		device, note, err := opened(c.said)
		if device != c.device || note != c.note || (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
			t.Errorf("%q: got %q, %q, %v", c.said, device, note, err)
		}
	}
}
