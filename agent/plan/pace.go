package plan

import "hardnode.dev/internal/wire/host"

// maxStarts is how many containers are started at once on a host that has nothing else to do: more wait for each other in the kernel.
const maxStarts = 4

// Starts is how many containers may be being started at once under a host's pressure: the fewer, the longer what runs already waits. One
// always may, since what waits for it is somebody's environment.
func Starts(p host.Pressure) int { return [...]int{maxStarts, maxStarts / 2, 1}[busy(p)] }

// Checks is how many containers may be asked at once under a host's pressure whether they serve, and how many times as long as usual each
// may take to answer: a container on a host with too much to do is slow, and not ill, and is slower the more of them are asked.
func Checks(p host.Pressure) (atOnce, patience int) {
	b := busy(p)
	return [...]int{maxChecks, maxChecks / 4, maxChecks / 16}[b], [...]int{1, 2, 5}[b]
}

// maxChecks is how many containers are asked at once on a host that has nothing else to do.
const maxChecks = 64

// busy is how much too much a host has to do: 0 nothing, 1 half of the time somebody waits, 2 nearly always.
func busy(p host.Pressure) int {
	switch {
	case p.CPU >= 80 || p.Memory >= 20 || p.IO >= 60:
		return 2
	case p.CPU >= 40 || p.Memory >= 5 || p.IO >= 30:
		return 1
	}
	return 0
}
