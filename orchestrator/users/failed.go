package users

import (
	"fmt"
	"sync"
	"time"

	"hardnode.dev/internal/logging"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/orchestrator/store"
)

// failedMax is how many users are remembered between two records; of more nothing is told to their owners.
const failedMax = 10000

// failed is the sign-ins of users that did not work, until the records of their accounts tell of them. They are gathered first, and told
// once a minute: writing a record takes time, by which whoever guesses would learn whether there is such a user.
type failed struct {
	mu struct {
		sync.Mutex
		by map[string]*fails
	}
}

type fails struct {
	n     int
	from  string // of the last one
	since time.Time
}

func (f *failed) add(key, from string, now time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.mu.by == nil {
		f.mu.by = map[string]*fails{}
	}
	x := f.mu.by[key]
	if x == nil {
		if len(f.mu.by) >= failedMax {
			return
		}
		x = &fails{since: now}
		f.mu.by[key] = x
	}
	x.n++
	x.from = from
}

// taken is what was gathered; from now on it is gathered anew.
func (f *failed) taken() map[string]*fails {
	f.mu.Lock()
	defer f.mu.Unlock()
	by := f.mu.by
	f.mu.by = nil
	return by
}

// tellOwners writes a record in each account of the users whose sign-ins did not work: their owners read it, and nobody else learns of it.
func (d *Desk) tellOwners() {
	v := d.Store.View()
	for key, x := range d.failed.taken() {
		u := store.Users.Find(v, key)
		if u == nil || d.Guesses == nil {
			continue
		}
		for _, m := range u.Members {
			if err := d.Guesses.Record(operator.Audit{Who: "nobody", Account: m.Name, From: x.from, What: "session.refused",
				Object: "users/" + u.Mail, Result: fmt.Sprintf("%s: wrong password or code (%d times since %s)", operator.Denied, x.n,
					x.since.UTC().Format(time.RFC3339))}); err != nil {
				d.log().Error("a refused sign-in is not on record", "user", u.ID, logging.Err, err)
			}
		}
	}
}
