// Package garbage deletes the images that no container of this host needs, when its disk runs full.
//
// Owns: the rule which images are in use, and how often the disk is looked at.
// In: what is wanted, what was confirmed, the images of what is here.
// Out: deletions through agent/fetch; room held back on DATA again.
// Never: deletes an image that is wanted, was confirmed, is run or is being fetched.
package garbage

import (
	"log/slog"
	"time"

	"hardnode.dev/internal/logging"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
)

// every is how often the disk is looked at.
const every = time.Minute

// Images is what garbage needs of agent/fetch.
type Images interface {
	Collect(used map[wire.Digest]bool) ([]wire.Digest, error) // deletes the others
	Low() bool                                                // the disk is nearly full
}

// Collector looks at the disk now and then. One goroutine calls it.
type Collector struct {
	Images    Images
	Replenish func() // holds room back on DATA
	Log       *slog.Logger

	last time.Time
}

// Due tells whether the disk is to be looked at, and counts that as done.
func (c *Collector) Due(now time.Time) bool {
	if now.Sub(c.last) < every {
		return false
	}
	c.last = now
	return true
}

// Collect holds room back on DATA, and deletes unused images when the disk is nearly full.
func (c *Collector) Collect(used map[wire.Digest]bool) {
	c.Replenish()
	if !c.Images.Low() {
		return
	}
	gone, err := c.Images.Collect(used)
	if err != nil {
		c.Log.Warn("collect images", logging.Err, err)
	}
	if len(gone) > 0 {
		c.Log.Info("unused images deleted", "count", len(gone), logging.Reason, "the disk is nearly full")
	}
}

// Used is the images that must stay: those of what work wants, and of what that was before as long as it may come back, those of what was
// confirmed (an update may go back to it), and those in hand: of containers that are here, and of fetches under way.
func Used(work *host.Work, confirmed map[wire.CTID]host.Container, inHand []wire.Digest) map[wire.Digest]bool {
	used := map[wire.Digest]bool{}
	for _, c := range work.Containers {
		used[c.Image.Digest] = true
		for _, f := range c.Formers {
			used[f.Image.Digest] = true
		}
	}
	for _, c := range confirmed {
		used[c.Image.Digest] = true
	}
	for _, d := range inHand {
		used[d] = true
	}
	return used
}
