//go:build qemu

package sample

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"hardnode.dev/qemu-tests/harness"
)

func TestSample(t *testing.T) {
	harness.RunGuestTest(t,
		harness.GuestTest{Package: "./qemu-tests/sample", DiskMiB: 512, Env: []string{"FAIL=" + os.Getenv("SAMPLE_FAIL")}})
}

// TestFailureIsSeen runs TestSample with a guest test that fails.
func TestFailureIsSeen(t *testing.T) {
	cmd := exec.Command(os.Args[0], "-test.run=^TestSample$", "-test.v")
	cmd.Env = append(os.Environ(), "SAMPLE_FAIL=1")
	out, err := cmd.CombinedOutput()
	if err == nil || !strings.Contains(string(out), "--- FAIL: TestFails") || !strings.Contains(string(out), "--- FAIL: TestSample") {
		t.Errorf("a failing guest test gave %v:\n%s", err, out)
	}
	if _, dir, ok := strings.Cut(string(out), "logs and disks are kept in "); !ok {
		t.Errorf("the path of the logs is not said:\n%s", out)
	} else {
		os.RemoveAll(strings.TrimSpace(strings.SplitN(dir, "\n", 2)[0]))
	}
}
