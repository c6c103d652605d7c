package command

import (
	"io"
	"sync"
	"time"

	"hardnode.dev/internal/wire/host"
)

// flow is one stream of output while it is carried.
type flow struct {
	mu struct {
		sync.Mutex
		writing bool      // the receiver has not taken all yet
		over    bool      // nothing more comes
		last    time.Time // something was read or taken
	}
}

// copy goes on reading when the receiver is gone, so that the command is not stopped by a full pipe.
func (f *flow) copy(to io.Writer, from io.Reader) {
	buf := make([]byte, host.MaxFrame)
	f.set(false)
	for {
		n, err := from.Read(buf)
		f.set(true)
		if _, werr := to.Write(buf[:n]); werr != nil {
			to = io.Discard
		}
		f.set(false)
		if err != nil {
			f.mu.Lock()
			defer f.mu.Unlock()
			f.mu.over = true
			return
		}
	}
}

func (f *flow) over() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.mu.over
}

func (f *flow) set(writing bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.mu.writing, f.mu.last = writing, time.Now()
}

// idle is how long nothing has been there to carry; 0 while the receiver is taking something, however slow it is.
func (f *flow) idle(now time.Time) time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.mu.writing || f.mu.last.IsZero() {
		return 0
	}
	return now.Sub(f.mu.last)
}
