package sys

import (
	"fmt"
	"strconv"
	"strings"
)

// Dirty is how many bytes of files of all filesystems of the host, and of what the filesystems themselves note, are written and not on
// their disks yet (proc_meminfo(5): Dirty and Writeback).
func Dirty() (int64, error) {
	text, err := ReadSmall("/proc/meminfo")
	if err != nil {
		return 0, err
	}
	return dirty(text)
}

func dirty(meminfo string) (sum int64, err error) {
	found := 0
	for line := range strings.Lines(meminfo) {
		name, rest, _ := strings.Cut(line, ":")
		if name != "Dirty" && name != "Writeback" {
			continue
		}
		n, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(rest), "kB")), 10, 53)
		if err != nil {
			return 0, fmt.Errorf("read /proc/meminfo: %q: %v", line, err)
		}
		sum += n << 10
		found++
	}
	if found != 2 {
		return 0, fmt.Errorf("read /proc/meminfo: it says no Dirty or no Writeback")
	}
	return sum, nil
}
