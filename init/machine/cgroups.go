package machine

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
)

// The layout: PID 1 in a leaf of its own (a cgroup with controllers for its children can hold no process), services and containers beside
// it.
const (
	cgroupRoot   = "/sys/fs/cgroup"
	cgroupInit   = cgroupRoot + "/init"
	cgroupSystem = cgroupRoot + "/system"
	cgroupCt     = cgroupRoot + "/ct"
)

// controllers are given to services and containers.
const controllers = "+cpu +memory +io +pids"

// systemMin is the memory the platform's own services keep under pressure, in bytes; with init's it is less than what placing leaves to a
// host (place.HostShare, 128 MiB).
const systemMin = "100663296"

func (m *Machine) stepCgroups(context.Context) (string, error) {
	for _, dir := range []string{cgroupInit, cgroupSystem, cgroupCt} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return "", fmt.Errorf("make cgroup: %w", err)
		}
	}
	for _, w := range []struct{ file, value string }{
		{cgroupInit + "/cgroup.procs", "1"},
		{cgroupRoot + "/cgroup.subtree_control", controllers},
		{cgroupSystem + "/cgroup.subtree_control", controllers},
		{cgroupCt + "/cgroup.subtree_control", controllers},
		{cgroupSystem + "/memory.min", systemMin},
		{cgroupInit + "/memory.min", "16777216"},
		{cgroupSystem + "/cpu.weight", "1000"}, // the platform answers under load; containers share the rest by their own weights
	} {
		if err := os.WriteFile(w.file, []byte(w.value), 0); err != nil {
			return "", fmt.Errorf("set %s of cgroup %q: %w", filepath.Base(w.file), filepath.Dir(w.file), err)
		}
	}
	return "", nil
}

// equal gives init the services' share of the CPU: under load it must answer them as soon as they ask. Not while the machine boots: the
// modules that it loads last are for nobody yet, and would hold up the services that come up beside them.
func equal() error {
	if err := os.WriteFile(cgroupInit+"/cpu.weight", []byte("1000"), 0); err != nil {
		return fmt.Errorf("give init its share of the CPU: %w", err)
	}
	return nil
}
