package move

import (
	"fmt"
	"time"

	"hardnode.dev/agent/spawner/ring"
)

// round is one that has ended.
type round struct {
	bytes int64
	took  time.Duration
}

// short is how long the round is that the container may stand still for, and stuck how many may not become shorter.
const (
	short = time.Second
	stuck = 3
)

// ready tells whether a further round would be short, or no shorter than those before. The first one is of all there is.
func ready(done []round) bool {
	if len(done) < 2 {
		return false
	}
	last := done[len(done)-1]
	if last.took <= short {
		return true
	}
	if len(done) < stuck+2 {
		return false
	}
	for _, r := range done[len(done)-1-stuck : len(done)-1] {
		if last.bytes < r.bytes*9/10 {
			return false
		}
	}
	return true
}

// settled is how long to wait between rounds once they are short: a snapshot stops the container for a moment.
const settled = 3 * time.Second

// most is how many bytes the stream of a part may have that may hold so many, 0: as many as it likes. What has changed twice since the last
// round is sent once; names and attributes come on top.
func most(limit int64) int64 {
	if limit <= 0 {
		return 1 << 50
	}
	return 2*limit + spare
}

var spare int64 = 1 << 30

// fits says why so many bytes that a container has find no room, or nil.
func fits(need, free int64) error {
	if need > free {
		return fmt.Errorf("it has %s with its snapshots, and %s are free on this host: delete snapshots of it (hnctl node snapshot list), "+
			"or move it to another host", mib(need), mib(free))
	}
	return nil
}

func mib(n int64) string { return fmt.Sprintf("%d MiB", (n+1<<20-1)>>20) }

// mostLog is how many bytes of a log are taken: it is read as a whole.
const mostLog = 4 * ring.FileBytes
