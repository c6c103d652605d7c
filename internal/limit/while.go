package limit

import "sync"

// While lets deadlines of a request be set as long as its handler is at work. Whoever the handler gave the body to, such as a transport,
// may read on after it has returned: the server's answer is gone then, and the connection may be at its next request. The zero value is at
// work.
type While struct {
	mu   sync.Mutex
	over bool
}

// Do runs f unless the handler has returned.
func (w *While) Do(f func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.over {
		f()
	}
}

// End says that the handler has returned: no f runs any more.
func (w *While) End() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.over = true
}
