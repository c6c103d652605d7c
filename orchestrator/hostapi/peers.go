package hostapi

import (
	"sync"

	"hardnode.dev/internal/wire/host"
	"hardnode.dev/orchestrator/converge"
	"hardnode.dev/orchestrator/store"
)

// peers puts together what hosts are told of each other, once for each revision: thousands ask for the same.
type peers struct {
	mu struct {
		sync.Mutex
		doc *host.Peers
	}
}

// of is the document of a view that has one. It must not be changed.
func (p *peers) of(v *store.View) *host.Peers {
	rev, _ := converge.Published(v)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.mu.doc != nil && p.mu.doc.Revision == rev {
		return p.mu.doc
	}
	doc, _ := converge.Compose(v)
	if p.mu.doc == nil || doc.Revision > p.mu.doc.Revision {
		p.mu.doc = &doc
	}
	return &doc
}
