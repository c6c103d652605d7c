// Package trouble keeps what is in the way of machines that boot from the network, for people.
//
// Owns: which troubles there are now: each by its subject, since when, and when it was seen last.
// In: what the servers of netboot meet with, as it happens.
// Out: the list, oldest first; a line in the log when a trouble begins, changes, and is over.
// Never: decides anything by them.
package trouble

import (
	"cmp"
	"log/slog"
	"slices"
	"sync"
	"time"

	"hardnode.dev/internal/logging"
	"hardnode.dev/internal/wire/host"
)

// Fades is how long after it was seen last a trouble counts that nobody says is over.
const Fades = 10 * time.Minute

// most is how many are kept.
const most = 32

// Book is the list. Its methods may be called from any goroutine; a nil one keeps nothing.
type Book struct {
	Log *slog.Logger
	Now func() time.Time

	mu   sync.Mutex
	list []item
}

type item struct {
	host.NetbootTrouble
	last time.Time
}

// Is says that a trouble is there, or still is. What names its subject and is the same each time.
func (b *Book) Is(what, text string) {
	if b == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.Now().UTC()
	b.fade(now)
	i := b.find(what)
	if i < 0 {
		if len(b.list) == most {
			b.list = b.list[1:]
		}
		b.list = append(b.list, item{NetbootTrouble: host.NetbootTrouble{What: what, Since: now.Truncate(time.Second)}})
		i = len(b.list) - 1
	}
	if b.list[i].Text != text {
		logging.Or(b.Log).Warn("in the way of machines that boot", "what", what, logging.Reason, text)
	}
	b.list[i].Text, b.list[i].last = text, now
}

// Over says that a trouble is no more.
func (b *Book) Over(what string) {
	if b == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if i := b.find(what); i >= 0 {
		b.list = slices.Delete(b.list, i, i+1)
		logging.Or(b.Log).Info("no more in the way of machines that boot", "what", what)
	}
}

// List is the troubles that there are, the oldest first.
func (b *Book) List() []host.NetbootTrouble {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.fade(b.Now())
	var out []host.NetbootTrouble
	for _, i := range b.list {
		out = append(out, i.NetbootTrouble)
	}
	slices.SortStableFunc(out, func(x, y host.NetbootTrouble) int {
		return cmp.Or(x.Since.Compare(y.Since), cmp.Compare(x.What, y.What))
	})
	return out
}

func (b *Book) find(what string) int {
	return slices.IndexFunc(b.list, func(i item) bool { return i.What == what })
}

// fade drops what was not seen for long; mu is held.
func (b *Book) fade(now time.Time) {
	b.list = slices.DeleteFunc(b.list, func(i item) bool { return now.Sub(i.last) > Fades })
}
