package host

import "fmt"

// MaxFormers is of how many earlier generations a host keeps snapshots at most.
const MaxFormers = 4

// Former is what a container was before a redeploy: its host keeps a snapshot of that, taken when it ended, and its image.
type Former struct {
	Generation int64 `json:"id"`
	Image      Image `json:"image"`
}

// Begins is what a generation begins with in the place of its image alone: the container's own files as they were when an earlier one
// ended; Volumes: likewise those of its volumes that there were.
type Begins struct {
	Generation int64 `json:"generation"`
	Volumes    bool  `json:"volumes,omitempty"`
}

// validateFormers says what is wrong with what a container was before, or nil.
func (c Container) validateFormers() error {
	if len(c.Formers) > MaxFormers {
		return fmt.Errorf("%d earlier generations, at most %d are kept", len(c.Formers), MaxFormers)
	}
	for _, f := range c.Formers {
		if f.Generation < 1 || f.Generation >= c.Generation {
			return fmt.Errorf("generation %d is none before its %d.", f.Generation, c.Generation)
		}
		if err := f.Image.Digest.Validate(); err != nil {
			return fmt.Errorf("generation %d: image: %v", f.Generation, err)
		}
	}
	if b := c.Begins; b != nil && (b.Generation < 1 || b.Generation >= c.Generation) {
		return fmt.Errorf("it begins with generation %d, which is none before its %d.", b.Generation, c.Generation)
	}
	return nil
}
