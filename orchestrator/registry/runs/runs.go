// Package runs keeps the record of imports, one entry each, from the push or the request that asked for it to its end.
//
// Owns: the file of entries; their ids; how many of those that ended are kept.
// In: which name's import begins, and how it ended.
// Out: host.ImportRun values, the newest first.
// Never: imports anything, or forgets one that had not ended when the program did.
package runs

import (
	"cmp"
	"crypto/rand"
	"encoding/hex"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"hardnode.dev/internal/keep"
	"hardnode.dev/internal/logging"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/operator"
)

// keepEnded is how many that ended are kept. The orchestrator asks every two seconds while one is under way, and keeps more.
const keepEnded = 200

// justNow is how long after an import's end it is still the one that a request for the same image is about: a tool pushes, then asks.
const justNow = time.Minute

// List is the record. A name has at most one run that has not ended. Its methods may be called at once.
type List struct {
	doc keep.Doc[document]
	log *slog.Logger
	now func() time.Time

	mu    sync.Mutex
	open  map[wire.TemplateName]*entry
	ended []host.ImportRun // the last that ended first
}

type document struct {
	Open  []entry          `json:"open,omitempty"`
	Ended []host.ImportRun `json:"ended,omitempty"`
}

// entry is a run that has not ended.
type entry struct {
	host.ImportRun
	Asked bool `json:"asked,omitempty"` // by a person who waits for it, not by a push

	left bool // by an earlier life of the program; nobody has taken it up yet
}

// End is how a run ended.
type End struct {
	State        host.ImportState
	Digest       wire.Digest
	Detail       string
	Code         operator.Code
	Reason, Next string
}

// Open reads the record kept in the file path. What a person waited for failed with the program that did it; what was pushed waits to be
// taken up again (Begin), or to be found gone (Left). A damaged file is said, set aside and begun anew: it only explains.
func Open(path string, log *slog.Logger, now func() time.Time) *List {
	l := &List{doc: keep.Doc[document]{Path: path, Version: 1}, log: logging.Or(log), now: now, open: map[wire.TemplateName]*entry{}}
	kept, _, err := l.doc.Renew()
	if err != nil {
		l.log.Warn("earlier imports are not known any more", logging.Err, err)
	}
	l.ended = kept.Ended
	asked := false
	for _, e := range kept.Open {
		e.left = true
		if l.open[e.Name] = &e; e.Asked {
			asked = true
			l.end(e.Name, failed(operator.Unavailable, "the registry ended before it was done", "import it again"))
		}
	}
	if asked {
		l.save()
	}
	return l
}

func (l *List) time() time.Time { return l.now().UTC().Truncate(time.Millisecond) }

// Begin notes that an import of n is asked for, unless one is under way; one that an earlier life of the program left goes on.
func (l *List) Begin(n wire.TemplateName, by string, asked bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if e := l.open[n]; e != nil {
		e.left = false
		return
	}
	raw := make([]byte, 8)
	rand.Read(raw) // never fails (crypto/rand)
	now := l.time()
	l.open[n] = &entry{Asked: asked, ImportRun: host.ImportRun{ID: wire.OperationID("op-" + hex.EncodeToString(raw)), Name: n, By: by,
		State: host.ImportWaiting, Created: now, Updated: now}}
	l.save()
}

// Begun tells whether an import of n is under way. It takes up what an earlier life of the program left.
func (l *List) Begun(n wire.TemplateName) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if e := l.open[n]; e != nil {
		e.left = false
		return true
	}
	return false
}

// End ends the import of n, if one is under way.
func (l *List) End(n wire.TemplateName, how End) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.open[n] != nil {
		l.end(n, how)
		l.save()
	}
}

func (l *List) end(n wire.TemplateName, how End) {
	r := l.open[n].ImportRun
	delete(l.open, n)
	r.State, r.Updated, r.Digest, r.Detail = how.State, l.time(), how.Digest, how.Detail
	r.Code, r.Reason, r.Next = string(how.Code), how.Reason, how.Next
	l.ended = append([]host.ImportRun{r}, l.ended...)
	l.ended = l.ended[:min(len(l.ended), keepEnded)]
}

// Left ends what an earlier life of the program left and nobody can take up: pushed are the names there are, why is why they are not known.
func (l *List) Left(pushed []wire.TemplateName, why error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	changed := false
	for _, n := range slices.Sorted(maps.Keys(l.open)) {
		switch {
		case !l.open[n].left:
			continue
		case why != nil:
			l.end(n, failed(operator.Internal, "the registry ended before it was done, and can't list what was pushed", "push it again"))
		case !slices.Contains(pushed, n):
			l.end(n, Deleted)
		default:
			continue
		}
		changed = true
	}
	if changed {
		l.save()
	}
}

func failed(code operator.Code, reason, next string) End {
	return End{State: host.ImportFailed, Code: code, Reason: reason, Next: next}
}

// Deleted is the end of an import whose name is no more.
var Deleted = End{State: host.ImportDropped, Reason: "the name was deleted before it was imported", Next: "push it again if it is wanted"}

// Just tells whether the image d was imported under the name n a moment ago.
func (l *List) Just(n wire.TemplateName, d wire.Digest) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	i := slices.IndexFunc(l.ended, func(r host.ImportRun) bool { return r.Name == n })
	return i >= 0 && l.ended[i].State == host.ImportDone && l.ended[i].Digest == d && l.now().Sub(l.ended[i].Updated) < justNow
}

// All are the runs, the newest first. Those that have not ended all wait: how far they are is not written down.
func (l *List) All() []host.ImportRun {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := make([]host.ImportRun, 0, len(l.open)+len(l.ended))
	for _, e := range l.open {
		out = append(out, e.ImportRun)
	}
	out = append(out, l.ended...)
	slices.SortFunc(out, func(a, b host.ImportRun) int { return cmp.Or(b.Created.Compare(a.Created), cmp.Compare(a.ID, b.ID)) })
	return out
}

// save writes the record. If that fails it is known until the program ends: it says so.
func (l *List) save() {
	doc := document{Ended: l.ended}
	for _, n := range slices.Sorted(maps.Keys(l.open)) {
		doc.Open = append(doc.Open, *l.open[n])
	}
	if err := l.doc.Save(doc); err != nil {
		l.log.Warn("an import could not be written down", logging.Err, err)
	}
}
