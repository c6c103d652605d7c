package main

import (
	"context"
	"errors"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"hardnode.dev/agent/console/screen"
	"hardnode.dev/agent/console/talk"
	"hardnode.dev/internal/logging/plain"
	"hardnode.dev/internal/run/ask"
	"hardnode.dev/internal/wire/boot"
)

// terminal is one that is open, and the conversation there.
type terminal struct {
	name string
	f    *os.File
	host asked
	wait time.Duration // patience
	news chan string   // statuses to show
	over chan struct{} // closed at the end
	once sync.Once

	// of talk only
	ed      talk.Editor
	awake   bool           // there is a conversation
	typed   time.Time      // when something was typed last
	queued  []byte         // typed while an answer was written
	held    []string       // statuses of that time
	stop    func()         // ends the answer that is being written; nil: none is
	asking  *question      // of that answer; nil: none
	keysTo  *io.PipeWriter // the screen's, while there is one
	misused int            // lines in a row that were not understood
	deaf    time.Time      // until then nothing is taken
}

const (
	// patience is how long a terminal may take for what is written at once; a serial line without a reader is given up until the next look.
	patience = time.Second
	// idle is after how long without a key a conversation ends.
	idle = 10 * time.Minute
	// Two consoles that are wired to each other, or a line that gives back what it is sent, would talk for ever.
	mostMisused = 10
	deafness    = time.Minute
	// mostQueued bounds what is typed ahead, in bytes, and mostHeld the statuses that wait.
	mostQueued = 4 << 10
	mostHeld   = 20
	// starting is how long a command waits for an agent that is starting.
	starting  = 5 * time.Second
	prompt    = "hardnode> "
	screenKey = 0x14 // Ctrl-T: no terminal program that is known takes it for itself
)

func newTerminal(name string, f *os.File, h asked, wait time.Duration) *terminal {
	return &terminal{name: name, f: f, host: h, wait: wait, news: make(chan string, mostHeld), over: make(chan struct{})}
}

// end ends it. It may be called more than once.
func (t *terminal) end() { t.once.Do(func() { close(t.over); t.f.Close() }) }

func (t *terminal) gone() bool {
	select {
	case <-t.over:
		return true
	default:
		return false
	}
}

// show has a status shown; one that finds no room is lost: the next one comes.
func (t *terminal) show(text string) {
	select {
	case t.news <- text:
	default:
	}
}

// Write gives text to the terminal; one that does not take it in time is given up.
func (t *terminal) Write(p []byte) (int, error) {
	for at := 0; at < len(p); { // a long text has the time that each part of it takes
		n := min(len(p)-at, 512)
		err := t.f.SetWriteDeadline(time.Now().Add(t.wait))
		if err == nil || errors.Is(err, os.ErrNoDeadline) {
			_, err = t.f.Write(p[at : at+n])
		}
		if err != nil {
			t.end()
			return at, err
		}
		at += n
	}
	return len(p), nil
}

func (t *terminal) say(text string) { t.Write([]byte(text)) } // one that can't be written to has ended

// read gives what is typed until the terminal ends.
func (t *terminal) read(to chan<- []byte) {
	defer t.end()
	for {
		b := make([]byte, 256)
		n, err := t.f.Read(b)
		if err != nil {
			return
		}
		select {
		case to <- b[:n]:
		case <-t.over:
			return
		}
	}
}

// talk is the terminal's life: statuses are shown, and what is typed is answered, until ctx or the terminal ends.
func (t *terminal) talk(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	typed, done, questions := make(chan []byte), make(chan result, 1), make(chan *question)
	var work sync.WaitGroup
	defer work.Wait()
	defer cancel()
	defer t.end()
	work.Go(func() { t.read(typed) })
	session := &talk.Session{Agent: t.host.agent, Out: t, TTY: t.name, Patience: starting,
		Summary: func(ctx context.Context, agent *ask.Client) ([]string, any, error) {
			return asked{agent, t.host.init}.summary(ctx, 0)
		},
		Away: func(ctx context.Context) string { return away(get[boot.Status](ctx, t.host.init, statusPath)) },
		Question: func(ctx context.Context, prompt string, hidden bool) (string, error) {
			return put(ctx, questions, prompt, hidden)
		}}
	answer := func(line string) {
		actx, stop := context.WithCancel(ctx)
		t.stop = stop
		work.Go(func() {
			exit, next := session.Run(actx, line)
			done <- result{exit: exit, next: next}
		})
	}
	tick := time.NewTicker(idle / 20)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.over:
			return
		case text := <-t.news:
			t.status(text)
		case b := <-typed:
			t.keys(b, answer)
		case q := <-questions:
			t.asking, t.ed = q, talk.Editor{Hidden: q.hidden}
			t.say(q.prompt)
			queued := t.queued
			t.queued = nil
			t.keys(queued, answer)
		case r := <-done:
			t.answered(r, answer)
			if r.next == talk.Screen {
				t.open(ctx, session, &work, done)
			} else if r.line != "" {
				t.say(prompt + r.line + "\n")
				answer(r.line)
			}
		case <-tick.C:
			switch {
			case time.Since(t.typed) <= idle:
			case t.asking != nil, t.keysTo != nil:
				t.stop()
			case t.awake && t.stop == nil:
				t.say("\nnothing was typed for a while; the conversation is ended\n")
				t.sleep()
			}
		}
		if !t.awake && t.stop == nil {
			session.Close(ctx)
		}
	}
}

// question is what an answer asks back.
type question struct {
	prompt string
	hidden bool
	reply  chan string // one line
}

// put asks a question and waits for its line.
func put(ctx context.Context, to chan<- *question, prompt string, hidden bool) (string, error) {
	q := &question{prompt, hidden, make(chan string, 1)}
	select {
	case to <- q:
	case <-ctx.Done():
		return "", ctx.Err()
	}
	select {
	case text := <-q.reply:
		return text, nil
	case <-ctx.Done():
		return "", ctx.Err()
	}
}

// result is how a line was answered.
type result struct {
	exit int
	next talk.Next
	line string // to be answered next: a screen was left for it
}

// open opens the screen. It has the terminal until somebody leaves it.
func (t *terminal) open(ctx context.Context, session *talk.Session, work *sync.WaitGroup, done chan<- result) {
	sctx, stop := context.WithCancel(ctx)
	in, keys := io.Pipe()
	t.stop, t.keysTo = stop, keys
	work.Go(func() {
		undo := quiet(sctx, t.name)
		after, err := screen.Run(sctx, screen.Options{Session: session, Summary: t.host.page, In: in, Out: t})
		in.Close() // what is typed now is not for the screen
		undo()
		if err != nil {
			t.say("the screen ended: " + plain.Line(err.Error()) + "\n")
		}
		done <- result{line: after}
	})
	queued := t.queued
	t.queued = nil
	keys.Write(queued) // an error: it has been left already
}

// status shows a status; while an answer is written, after that.
func (t *terminal) status(text string) {
	switch {
	case t.stop != nil:
		if t.held = append(t.held, text); len(t.held) > mostHeld {
			t.held = t.held[1:]
		}
	case t.awake:
		t.say("\n" + text + prompt + t.ed.Typed())
	default:
		t.say(text)
	}
}

// keys takes what was typed.
func (t *terminal) keys(typed []byte, answer func(string)) {
	now := time.Now()
	if now.Before(t.deaf) {
		return
	}
	t.typed = now
	if t.keysTo != nil {
		if _, err := t.keysTo.Write(typed); err == nil {
			return
		}
	}
	for n, b := range typed {
		if t.asking != nil {
			echo, key := t.ed.Byte(b)
			if echo != "" {
				t.say(echo)
			}
			switch key {
			case talk.Enter:
				t.asking.reply <- t.ed.Take()
				t.asking = nil
			case talk.Interrupt, talk.End, talk.Full:
				t.stop()
				t.asking = nil
			}
			continue
		}
		if t.stop != nil { // an answer is being written
			if b == 0x03 {
				t.stop()
				t.queued = nil
			} else if len(t.queued) < mostQueued {
				t.queued = append(t.queued, b)
			}
			continue
		}
		if !t.awake {
			switch b {
			case '\r', '\n':
				t.wake(b)
			case screenKey:
				t.wake('\r')
				answer("screen")
			}
			continue
		}
		echo, key := t.ed.Byte(b)
		if echo != "" {
			t.say(echo)
		}
		switch key {
		case talk.Enter:
			line := t.ed.Take()
			if strings.TrimSpace(line) == "" {
				t.say(prompt)
				continue
			}
			answer(line)
		case talk.Interrupt:
			t.say(prompt)
		case talk.Full:
			t.say("error: the line is too long\n" + prompt)
		case talk.End:
			t.sleep()
		case talk.Open:
			t.ed.Take()
			t.say("\n")
			answer("screen")
		}
		if t.gone() {
			clear(typed[n:])
			return
		}
	}
}

// wake begins a conversation, with the key that asked for it.
func (t *terminal) wake(key byte) {
	t.awake, t.misused, t.ed = true, 0, talk.Editor{}
	t.ed.Byte(key) // an LF behind a CR is the same key
	t.say("\nhardnode console on " + t.name + "; type help\n" + prompt)
}

func (t *terminal) sleep() {
	t.awake, t.ed, t.queued = false, talk.Editor{}, nil
}

// answered goes on behind an answer: with the statuses that waited, then with what was typed ahead.
func (t *terminal) answered(r result, answer func(string)) {
	t.stop()
	t.stop, t.asking, t.ed.Hidden = nil, nil, false
	if t.keysTo != nil {
		t.keysTo.Close()
		t.keysTo = nil
	}
	for _, text := range t.held {
		t.say(text)
	}
	t.held = nil
	if r.exit == talk.Misused {
		t.misused++
	} else {
		t.misused = 0
	}
	switch {
	case t.misused >= mostMisused:
		t.deaf = time.Now().Add(deafness)
		t.say("none of the last lines was understood; nothing is taken for a minute\n")
		t.sleep()
	case r.next == talk.Leave:
		t.sleep()
	case r.next == talk.Screen, r.line != "":
	default:
		t.say(prompt)
		queued := t.queued
		t.queued = nil
		t.keys(queued, answer)
	}
}
