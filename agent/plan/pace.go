package plan

import "hardnode.dev/internal/wire/host"

// maxStarts is how many containers are started at once on a host that has nothing else to do: more wait for each other in the kernel.
const maxStarts = 4

// Starts is how many containers may be being started at once under a host's pressure: the fewer, the longer what runs already waits. One
// always may, since what waits for it is somebody's environment.
func Starts(p host.Pressure) int {
	switch {
	case p.CPU >= 80 || p.Memory >= 20 || p.IO >= 60:
		return 1
	case p.CPU >= 40 || p.Memory >= 5 || p.IO >= 30:
		return maxStarts / 2
	}
	return maxStarts
}
