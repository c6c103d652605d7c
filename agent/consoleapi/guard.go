package consoleapi

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"sync"
	"time"

	"hardnode.dev/internal/secret/challenge"
)

// Guard decides who may change something: whoever knows the console's password, for a while; anybody on a host that has no configuration
// yet. It is the agent's, since the program at the terminals may be the attacker.
type Guard struct {
	// Known is what a session begins with by the configuration in force; Configured is false while there is none.
	Known func() (Known, error)
	// Is compares a kept password with what was typed.
	Is  func(kept, typed string) (bool, error)
	Now func() time.Time

	one sync.Mutex // one comparison at a time: it costs memory
	mu  struct {
		sync.Mutex
		sessions map[string]*session
		asked    map[string]question // challenges that wait for their answers, by text
		failed   int                 // in a row
		next     time.Time           // before it nothing is compared
	}
}

// Known is what a session begins with.
type Known struct {
	Configured bool
	Password   string // kept; "" for none
	Key        string // of challenges; "" for none
	Host       string // the host's name, which an answer is for
}

// question is a challenge that waits for its answer.
type question struct {
	*challenge.Asked
	until time.Time
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
	mostAsked    = 8
	answerWithin = 10 * time.Minute
	firstWait    = 2 * time.Second
	longestWait  = 5 * time.Minute
)

// The refusals.
var (
	errLocked = errors.New("a change needs the console's password, or the answer to its challenge: login")
	errWrong  = errors.New("that is not the console's password")
	errAnswer = errors.New("that is not the answer to this challenge, which is over; ask for another one")
	errOver   = errors.New("this challenge is not known any more: it was answered, or its time is over; ask for another one")
	errNone   = errors.New("this host's configuration has neither console.password nor console.key, so nothing can be changed at its " +
		"terminals; `hnctl host config password` and `hnctl host config console-key` make them")
	errNoPassword = errors.New("this host's configuration has no console.password; its console.key wants a challenge answered")
	errNoKey      = errors.New("this host's configuration has no console.key, so there is no challenge; it has a console.password")
	errFresh      = errors.New("this host has no configuration yet, so that is not for it; it can be activated, installed and rebooted")
	errNotNeeded  = errors.New("this host has no configuration yet, and asks for no password")
)

// tooSoon is the refusal of a guess that comes before its time.
type tooSoon struct{ left time.Duration }

func (e tooSoon) Error() string {
	return fmt.Sprintf("a wrong password or answer was given; the next one is taken in %s", e.left.Truncate(time.Second)+time.Second)
}

// Ask makes a challenge for a terminal.
func (g *Guard) Ask() (text, host string, err error) {
	known, err := g.Known()
	switch {
	case err != nil:
		return "", "", err
	case !known.Configured:
		return "", "", errNotNeeded
	case known.Key == "" && known.Password == "":
		return "", "", errNone
	case known.Key == "":
		return "", "", errNoKey
	}
	a, err := challenge.Ask(known.Key, known.Host)
	if err != nil {
		return "", "", fmt.Errorf("console.key of this host's configuration: %v", err)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	now, oldest := g.Now(), ""
	for text, q := range g.mu.asked {
		if !now.Before(q.until) {
			delete(g.mu.asked, text)
		} else if oldest == "" || q.until.Before(g.mu.asked[oldest].until) {
			oldest = text
		}
	}
	if len(g.mu.asked) >= mostAsked {
		delete(g.mu.asked, oldest)
	}
	if g.mu.asked == nil {
		g.mu.asked = map[string]question{}
	}
	g.mu.asked[a.Text] = question{a, now.Add(answerWithin)}
	return a.Text, known.Host, nil
}

// Login begins a session of a terminal with the password.
func (g *Guard) Login(tty, typed string) (id string, err error) {
	known, err := g.Known()
	switch {
	case err != nil:
		return "", err
	case !known.Configured:
		return "", errNotNeeded
	case known.Password == "" && known.Key == "":
		return "", errNone
	case known.Password == "":
		return "", errNoPassword
	}
	return g.begin(tty, errWrong, func() (bool, error) {
		ok, err := g.Is(known.Password, typed)
		if err != nil {
			err = fmt.Errorf("console.password of this host's configuration: %v", err)
		}
		return ok, err
	})
}

// Answer begins a session of a terminal with the answer to a challenge, which is over then, whatever the answer was.
func (g *Guard) Answer(tty, text, typed string) (id string, err error) {
	return g.begin(tty, errAnswer, func() (bool, error) {
		g.mu.Lock()
		defer g.mu.Unlock()
		q, ok := g.mu.asked[text]
		delete(g.mu.asked, text)
		if !ok || !g.Now().Before(q.until) {
			return false, errOver
		}
		return q.Is(typed), nil
	})
}

// begin compares what was typed, when it is time for that, and begins a session.
func (g *Guard) begin(tty string, wrong error, is func() (bool, error)) (id string, err error) {
	g.one.Lock()
	defer g.one.Unlock()
	g.mu.Lock()
	left := g.mu.next.Sub(g.Now())
	g.mu.Unlock()
	if left > 0 {
		return "", tooSoon{left}
	}
	ok, err := is()
	if err != nil {
		return "", err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	now := g.Now()
	if !ok {
		g.mu.next = now.Add(min(longestWait, firstWait<<min(g.mu.failed, 16)))
		g.mu.failed++
		return "", wrong
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
	known, err := g.Known()
	switch {
	case err != nil:
		return "", err
	case !known.Configured && fresh:
		return "of a host without a configuration", nil
	case !known.Configured:
		return "", errFresh
	case known.Password == "" && known.Key == "":
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
