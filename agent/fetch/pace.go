package fetch

import (
	"context"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"
)

// petReader tells a watchdog that bytes came, and counts them.
type petReader struct {
	r    io.Reader
	pet  func()
	came atomic.Int64
}

func (p *petReader) Read(b []byte) (int, error) {
	n, err := p.r.Read(b)
	if n > 0 {
		p.came.Add(int64(n))
		p.pet()
	}
	return n, err
}

// floor is the least a transfer must bring, in bytes a second over a window.
const floor = 10 << 10

// pace gives a transfer up that brings too little, window after window; the function it returns ends that. What came stays: the next try
// goes on behind it, perhaps from another registry.
func (s *Store) pace(body *petReader, give func(error)) (end func()) {
	window := s.Window
	if window == 0 {
		window = time.Minute
	}
	least := int64(floor * window.Seconds())
	var mu sync.Mutex
	var over bool
	var last int64
	var timer *time.Timer
	mu.Lock()
	defer mu.Unlock()
	timer = time.AfterFunc(window, func() {
		mu.Lock()
		defer mu.Unlock()
		came := body.came.Load()
		if over {
			return
		}
		if came-last < least {
			give(fmt.Errorf("only %d bytes came in %s, at least %d are asked for: others wait for its place", came-last, window, least))
			return
		}
		last = came
		timer.Reset(window)
	})
	return func() {
		mu.Lock()
		defer mu.Unlock()
		over = true
		timer.Stop()
	}
}

// ctxReader ends with its context.
type ctxReader struct {
	ctx context.Context
	r   io.Reader
}

func (c *ctxReader) Read(b []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.Read(b)
}
