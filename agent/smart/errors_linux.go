package smart

import (
	"os"

	"hardnode.dev/internal/disk"
	"hardnode.dev/internal/disk/btrfs"
)

// Errors are what btrfs counts of the disks that it lies on, by disk: reads, writes and flushes that failed, and blocks that were not what
// they should be, since each is a device of its filesystem. It asks no disk.
func Errors(tops ...string) map[string]int64 {
	out := map[string]int64{}
	seen := map[string]bool{} // a host without a partition for STATE has it on DATA
	for _, top := range tops {
		dir, err := os.Open(top)
		if err != nil {
			continue
		}
		list, _ := btrfs.Devices(dir)
		dir.Close()
		for _, d := range list {
			if d.Path == "" || seen[d.UUID] {
				continue
			}
			seen[d.UUID] = true
			whole, _ := disk.On("/sys/class/block", d.Path)
			out[whole] += int64(d.Errors)
		}
	}
	return out
}
