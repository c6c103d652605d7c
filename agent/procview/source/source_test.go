package source

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"hardnode.dev/agent/procview/load"
	"hardnode.dev/internal/wire/boot"
)

func TestValues(t *testing.T) {
	cg, proc := t.TempDir(), t.TempDir()
	dir := filepath.Join(cg, "7")
	for path, text := range map[string]string{
		dir + "/memory.max": "67108864\n", dir + "/memory.current": "4096\n", dir + "/memory.stat": "anon 4096\n",
		dir + "/cpu.max": "50000 100000\n", dir + "/cpu.stat": "usage_usec 3000000\nuser_usec 2000000\nsystem_usec 1000000\n",
		dir + "/pids.current": "3\n", dir + "/io.stat": "8:0 rbytes=512 rios=1\n", dir + "/cpu.pressure": "some\n",
		proc + "/meminfo": "MemTotal: 1048576 kB\nSwapTotal: 0 kB\n", proc + "/cpuinfo": "processor\t: 0\nmodel\t: x\n\nprocessor\t: 1\n\n",
	} {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	s := New(cg, proc, load.New(cg, proc))
	v, err := s.Values(7, Memory|Load|Disks)
	if err != nil {
		t.Fatal(err)
	}
	if v.Memory.Max != 64<<20 || v.Memory.Current != 4096 || v.Host.Memory != 1<<30 || len(v.Host.CPUs) != 2 || v.CPU.Max != 0.5 ||
		v.Load.Tasks != 3 || len(v.Disks) != 1 || v.Memory.SwapMax != 0 {
		t.Errorf("%+v", v)
	}
	if b, err := s.Pressure(7, "cpu"); err != nil || string(b) != "some\n" {
		t.Errorf("pressure %q, %v", b, err)
	}
	if !s.Exists(7) || s.Exists(8) {
		t.Error("which containers there are")
	}
	if _, err := s.Values(8, 0); err == nil {
		t.Error("a container without a cgroup has values")
	}
	if _, err := s.Pressure(8, "cpu"); err == nil {
		t.Error("a container without a cgroup has a pressure")
	}
	if _, err := s.Values(7, CPU); err == nil || !strings.Contains(err.Error(), "when container 7 was started") {
		t.Errorf("a cgroup without its note: %v", err)
	}
	now, err := sinceBoot()
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Setxattr(dir, boot.StartedAttr, strconv.AppendInt(nil, int64(now-time.Minute), 10), 0); err != nil {
		t.Skipf("no such attributes here: %v", err)
	}
	v, err = s.Values(7, CPU)
	if err != nil || v.Up < time.Minute || v.Up > time.Hour || v.CPU.User != 2*time.Second || v.CPU.System != time.Second {
		t.Errorf("%+v, %v", v, err)
	}
	if err := unix.Setxattr(dir, boot.StartedAttr, []byte("x"), 0); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Values(7, CPU); err == nil {
		t.Error("a spoiled note counts")
	}
}
