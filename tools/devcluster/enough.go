package main

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"hardnode.dev/qemu-tests/cluster"
)

// check refuses what the command line can't mean.
func check(o cluster.Options, rest []string) error {
	switch {
	case len(rest) > 0:
		return fmt.Errorf("unknown argument %q", rest[0])
	case o.Hosts < 1 || o.Hosts > cluster.MaxHosts:
		return fmt.Errorf("--hosts %d: from 1 to %d are possible", o.Hosts, cluster.MaxHosts)
	case o.Seats < 0:
		return fmt.Errorf("--seats %d: want a number of hosts, or 0 for as many as there are", o.Seats)
	case o.Dir == "":
		return errors.New("--dir is empty: name a folder")
	}
	return nil
}

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
			return fmt.Errorf("%d user hosts and the infra VM need %d MiB of memory, %d MiB are available: use fewer --hosts or end "+
				"other programs", o.Hosts, need, kib/1024)
		}
	}
	return nil
}
