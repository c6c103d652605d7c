//go:build guest

package sample

import (
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
)

// TestMachine checks what a guest test is promised (harness.RunGuestTest).
func TestMachine(t *testing.T) {
	if os.Getuid() != 0 {
		t.Errorf("uid is %d, want 0", os.Getuid())
	}
	for path, magic := range map[string]int64{
		"/": 0x01021994, "/proc": 0x9fa0, "/sys": 0x62656572, "/run": 0x01021994, "/data": 0x9123683e, "/sys/fs/cgroup": 0x63677270,
		"/sys/fs/bpf": 0xcafe4a11,
	} {
		var st syscall.Statfs_t
		if err := syscall.Statfs(path, &st); err != nil || st.Type != magic {
			t.Errorf("%s: filesystem %#x, want %#x (%v)", path, st.Type, magic, err)
		}
	}
	b, err := os.ReadFile("/proc/self/cgroup")
	if err != nil || strings.TrimSpace(string(b)) != "0::/init" {
		t.Errorf("cgroup is %q, want 0::/init (%v)", b, err)
	}
	b, err = os.ReadFile("/sys/fs/cgroup/cgroup.subtree_control")
	for _, c := range []string{"cpu", "memory", "io", "pids"} {
		if err != nil || !strings.Contains(string(b), c) {
			t.Errorf("cgroup controllers are %q, want %s among them (%v)", b, c, err)
		}
	}
	if err := os.WriteFile("/data/file", []byte("x"), 0o600); err != nil {
		t.Error(err)
	}
}

// TestPivot does what every container start does: / of a guest test can be pivoted from.
func TestPivot(t *testing.T) {
	cmd := exec.Command("/proc/self/exe", "-test.run=TestPivotChild")
	cmd.Env = []string{"PIVOT=1"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWUSER | syscall.CLONE_NEWPID,
		UidMappings:                []syscall.SysProcIDMap{{HostID: 100000, Size: 65536}},
		GidMappings:                []syscall.SysProcIDMap{{HostID: 100000, Size: 65536}},
		GidMappingsEnableSetgroups: true, Credential: &syscall.Credential{}}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("pivot: %v: %s", err, out)
	}
}

func TestPivotChild(t *testing.T) {
	if os.Getenv("PIVOT") == "" {
		t.Skip("runs only as the child of TestPivot")
	}
	for _, err := range []error{
		syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""),
		syscall.Mount("tmpfs", "/tmp", "tmpfs", 0, ""),
		os.Mkdir("/tmp/old", 0o700),
		syscall.PivotRoot("/tmp", "/tmp/old"),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
}

// TestFails fails when asked to: the outer test wants to see that.
func TestFails(t *testing.T) {
	if os.Getenv("FAIL") != "" {
		t.Error("as asked")
	}
}
