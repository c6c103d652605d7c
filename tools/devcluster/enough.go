package main

import (
	"fmt"
	"os"
	"strings"

	"hardnode.dev/qemu-tests/cluster"
)

// enough checks that the machine has the memory for so many hosts; make deps has checked the rest.
func enough(o cluster.Options) error {
	b, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return nil // not Linux's proc: QEMU will say what it lacks
	}
	need := cluster.MemoryMiB(o.Hosts)
	for line := range strings.Lines(string(b)) {
		var kib int
		if n, _ := fmt.Sscanf(line, "MemAvailable: %d kB", &kib); n == 1 && kib/1024 < need {
			return fmt.Errorf("%d user hosts and the infra VM need %d MiB of memory, %d MiB are available: use fewer --hosts or end other programs", o.Hosts, need, kib/1024)
		}
	}
	return nil
}
