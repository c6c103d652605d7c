package passkeys

import (
	"crypto/subtle"
	"sync"
	"time"

	"github.com/go-webauthn/webauthn/webauthn"
)

// The bounds on challenges that wait for their answer. Beyond them the oldest goes: of the same place first.
const (
	flowFor   = 5 * time.Minute
	flowsEach = 50
	flowsAll  = 20000
)

// flow is one challenge that a browser was given.
type flow struct {
	browser string // which asked for it: the hash of its cookie
	place   string
	site    site
	session webauthn.SessionData
	begun   time.Time

	// Of one by which a passkey is made:
	user  string // id; "": it is for a sign-in
	proof string // that the user proved who they are
	name  string // of the passkey
}

type flows struct {
	sync.Mutex
	by map[string]*flow // by challenge
}

// put keeps a challenge.
func (f *flows) put(fl *flow, now time.Time) {
	f.Lock()
	defer f.Unlock()
	if f.by == nil {
		f.by = map[string]*flow{}
	}
	oldest, ofPlace, n := "", "", 0
	for c, x := range f.by {
		if now.Sub(x.begun) >= flowFor {
			delete(f.by, c)
			continue
		}
		if oldest == "" || x.begun.Before(f.by[oldest].begun) {
			oldest = c
		}
		if x.place == fl.place {
			if n++; ofPlace == "" || x.begun.Before(f.by[ofPlace].begun) {
				ofPlace = c
			}
		}
	}
	switch {
	case n >= flowsEach:
		delete(f.by, ofPlace)
	case len(f.by) >= flowsAll:
		delete(f.by, oldest)
	}
	f.by[fl.session.Challenge] = fl
}

// take gives the challenge that a browser was given for a user ("": for a sign-in), once. Another browser can't use it up.
func (f *flows) take(challenge, browser, user string, now time.Time) *flow {
	f.Lock()
	defer f.Unlock()
	fl := f.by[challenge]
	if fl == nil || browser == "" || subtle.ConstantTimeCompare([]byte(fl.browser), []byte(browser)) != 1 || fl.user != user {
		return nil
	}
	delete(f.by, challenge)
	if now.Sub(fl.begun) >= flowFor {
		return nil
	}
	return fl
}
