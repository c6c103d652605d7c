package consoleapi

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"sync"
	"time"
)

// Guard decides who may change something: whoever knows the console's password, for a while; anybody on a host that has no configuration
// yet. It is the agent's, since the program at the terminals may be the attacker.
type Guard struct {
	// Password is the kept password of the configuration in force, "" for none. Configured is false while there is no configuration.
	Password func() (kept string, configured bool, err error)
	// Is compares a kept password with what was typed.
	Is  func(kept, typed string) (bool, error)
	Now func() time.Time

	one sync.Mutex // one comparison at a time: it costs memory
	mu  struct {
		sync.Mutex
		sessions map[string]*session
		failed   int       // in a row
		next     time.Time // before it nothing is compared
	}
}

// session is somebody who knew the password.
type session struct {
	tty         string
	began, last time.Time
}

// The bounds of a session, and of guesses: each failure doubles the wait, for all terminals together.
const (
	sessionIdle  = 10 * time.Minute
	sessionMost  = time.Hour
	mostSessions = 32
	firstWait    = 2 * time.Second
	longestWait  = 5 * time.Minute
)

// The refusals.
var (
	errLocked = errors.New("a change needs the console's password: login")
	errWrong  = errors.New("that is not the console's password")
	errNone   = errors.New("this host's configuration has no console.password, so nothing can be changed at its terminals; " +
		"`hnctl host config password` makes one")
	errFresh     = errors.New("this host has no configuration yet, so that is not for it; it can be activated, installed and rebooted")
	errNotNeeded = errors.New("this host has no configuration yet, and asks for no password")
)

// tooSoon is the refusal of a guess that comes before its time.
type tooSoon struct{ left time.Duration }

func (e tooSoon) Error() string {
	return fmt.Sprintf("a wrong password was given; the next one is taken in %s", e.left.Truncate(time.Second)+time.Second)
}

// Login begins a session of a terminal.
func (g *Guard) Login(tty, typed string) (id string, err error) {
	kept, configured, err := g.Password()
	switch {
	case err != nil:
		return "", err
	case !configured:
		return "", errNotNeeded
	case kept == "":
		return "", errNone
	}
	g.one.Lock()
	defer g.one.Unlock()
	g.mu.Lock()
	left := g.mu.next.Sub(g.Now())
	g.mu.Unlock()
	if left > 0 {
		return "", tooSoon{left}
	}
	ok, err := g.Is(kept, typed)
	if err != nil {
		return "", fmt.Errorf("console.password of this host's configuration: %v", err)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	now := g.Now()
	if !ok {
		g.mu.next = now.Add(min(longestWait, firstWait<<min(g.mu.failed, 16)))
		g.mu.failed++
		return "", errWrong
	}
	g.mu.failed = 0
	g.sweep(now)
	raw := make([]byte, 16)
	rand.Read(raw) // never fails (crypto/rand)
	id = hex.EncodeToString(raw)
	g.mu.sessions[id] = &session{tty, now, now}
	return id, nil
}

// sweep takes away sessions that are over, and the oldest where there are too many; the lock is held.
func (g *Guard) sweep(now time.Time) {
	if g.mu.sessions == nil {
		g.mu.sessions = map[string]*session{}
	}
	oldest := ""
	for id, s := range g.mu.sessions {
		if s.over(now) {
			delete(g.mu.sessions, id)
		} else if oldest == "" || s.began.Before(g.mu.sessions[oldest].began) {
			oldest = id
		}
	}
	if len(g.mu.sessions) >= mostSessions {
		delete(g.mu.sessions, oldest)
	}
}

func (s *session) over(now time.Time) bool {
	return now.Sub(s.last) >= sessionIdle || now.Sub(s.began) >= sessionMost
}

// Logout ends a session.
func (g *Guard) Logout(id string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.mu.sessions, id)
}

// Allow tells whether the session may change something, and which terminal it is of. Fresh are changes that a host without a configuration
// may have from anybody.
func (g *Guard) Allow(id string, fresh bool) (tty string, err error) {
	kept, configured, err := g.Password()
	switch {
	case err != nil:
		return "", err
	case !configured && fresh:
		return "of a host without a configuration", nil
	case !configured:
		return "", errFresh
	case configured && kept == "":
		return "", errNone
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	now := g.Now()
	s := g.mu.sessions[id]
	if s == nil || s.over(now) {
		return "", errLocked
	}
	s.last = now
	return s.tty, nil
}
