// Package talk is the conversation in lines at a terminal: a command, its answer, how it went.
//
// Owns: the commands, their words and flags, their exit statuses.
// In: a line that somebody typed or a script sent; the agent's answers.
// Out: lines of printable ASCII, or a line of JSON; the last line of each answer is "exit status N".
// Never: reads the terminal, or decides whether a change may be made: the agent does.
package talk

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"hardnode.dev/internal/logging/plain"
	"hardnode.dev/internal/run/ask"
	"hardnode.dev/internal/secret"
	"hardnode.dev/internal/wire/console"
)

// The exit statuses.
const (
	Done    = 0
	Failed  = 1 // refused, or it went wrong
	Misused = 2 // not understood
	Locked  = 3 // it wants the console's password, or the answer to a challenge, first: login
	Away    = 4 // the agent does not answer
)

// Session is one terminal's conversation.
type Session struct {
	Agent *ask.Client
	Out   io.Writer
	// Summary is the answer of `status`: it is there while the agent is not, too. One that fails has an error.
	Summary func(context.Context, *ask.Client) (lines []string, doc any, err error)
	// Away is why the agent does not answer, as far as others know; nil: nobody does.
	Away func(context.Context) string
	// Question asks whoever is there for one line; hidden: it is not echoed.
	Question func(ctx context.Context, prompt string, hidden bool) (string, error)
	TTY      string
	Patience time.Duration // how long a command waits for an agent that is not there: it may be starting
}

// What a command asks the terminal to do after its answer.
type Next int

// The wishes.
const (
	Stay   Next = iota
	Leave       // end the conversation
	Screen      // open the screen
)

// command is a row of the table of commands.
type command struct {
	name  string   // its words
	usage string   // what follows them
	short string   // for help
	flags []string // names; those of bare have no value
	most  int      // words behind the name; -1: any number
	least int
	run   func(context.Context, *Session, args) error
}

// misuse is an error of whoever typed.
type misuse struct{ error }

// find is the command whose name the words begin with; the longest one.
func find(words []string) (c *command, rest []string) {
	for i := range commands {
		name := strings.Fields(commands[i].name)
		if len(words) >= len(name) && slices.Equal(words[:len(name)], name) && (c == nil || len(name) > len(strings.Fields(c.name))) {
			c, rest = &commands[i], words[len(name):]
		}
	}
	return c, rest
}

// Run carries out a line. Nothing is said to an empty one.
func (s *Session) Run(ctx context.Context, line string) (exit int, next Next) {
	words, err := split(line)
	if err == nil && len(words) == 0 {
		return Done, Stay
	}
	as := args{}
	if err == nil {
		as, next, err = s.command(ctx, words)
	} else {
		err = misuse{err}
	}
	if err != nil && ctx.Err() != nil {
		err = errors.New("stopped")
	}
	exit = status(err)
	switch {
	case exit == Away && s.Away != nil:
		err = fmt.Errorf("%w: %s", err, s.Away(ctx))
	}
	switch {
	case err != nil && as.has("json"):
		s.json(map[string]any{"error": err.Error(), "status": exit})
	case err != nil:
		for _, l := range strings.Split(err.Error(), "\n") {
			s.Line("error: " + l)
		}
	}
	s.Line(fmt.Sprintf("exit status %d", exit))
	return exit, next
}

func (s *Session) command(ctx context.Context, words []string) (as args, next Next, err error) {
	c, rest := find(words)
	if c == nil {
		return as, Stay, misuse{fmt.Errorf("%q is not known; type help", words[0])}
	}
	as, err = parse(rest, c.flags)
	if err == nil && (len(as.words) < c.least || c.most >= 0 && len(as.words) > c.most) {
		err = errors.New("want: " + strings.TrimSpace(c.name+" "+c.usage))
	}
	if err != nil {
		return as, Stay, misuse{err}
	}
	switch c.name {
	case "exit":
		return as, Leave, nil
	case "screen":
		return as, Screen, nil
	}
	var waiting func()
	if !as.has("json") {
		waiting = func() { s.Line("asking the agent ...") }
	}
	s.Agent = s.Agent.Patient(s.Patience, waiting)
	defer func() { s.Agent = s.Agent.Patient(0, nil) }() // of the session that was begun meanwhile, maybe
	return as, Stay, c.run(ctx, s, as)
}

// change has something done. Where the password is wanted first, whoever is there is asked for it.
func (s *Session) change(ctx context.Context, path string, in, out any) error {
	err := s.Agent.Post(ctx, path, in, out)
	if !ask.Refused(err, http.StatusUnauthorized) {
		return err
	}
	if err := s.login(ctx); err != nil {
		return err
	}
	return s.Agent.Post(ctx, path, in, out)
}

// login asks for the console's password, or for the answer to a challenge, and begins a session with it.
func (s *Session) login(ctx context.Context) error {
	var h console.Host
	s.Agent.Get(ctx, "/v1/host", &h) // an agent that can't say asks for the password
	if h.Challenge && !h.Password {
		return s.challenge(ctx)
	}
	prompt := "password: "
	if h.Challenge {
		prompt = "password (none: a challenge): "
	}
	typed, err := s.Question(ctx, prompt, true)
	if err != nil {
		return err
	}
	if typed == "" && h.Challenge {
		return s.challenge(ctx)
	}
	return s.begin(ctx, console.Login{TTY: s.TTY, Password: secret.Text(typed)})
}

// challenge asks for the answer to one.
func (s *Session) challenge(ctx context.Context) error {
	var c console.Challenge
	if err := s.Agent.Post(ctx, "/v1/challenge", struct{}{}, &c); err != nil {
		return err
	}
	s.Line("who holds the key: hnctl host console-answer --key FILE " + c.Host + " " + c.Text)
	typed, err := s.Question(ctx, "answer to "+c.Text+": ", false)
	if err != nil {
		return err
	}
	return s.begin(ctx, console.Login{TTY: s.TTY, Challenge: c.Text, Answer: secret.Text(typed)})
}

func (s *Session) begin(ctx context.Context, l console.Login) error {
	var made console.Session
	if err := s.Agent.Post(ctx, "/v1/login", l, &made); err != nil {
		return err
	}
	s.Agent = s.Agent.With(console.SessionHeader, made.ID)
	return nil
}

// Close ends the session that a password began.
func (s *Session) Close(ctx context.Context) {
	if s.Agent.Header.Get(console.SessionHeader) == "" {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	s.Agent.Post(ctx, "/v1/logout", struct{}{}, nil) // one that does not get there ends by itself
	s.Agent = s.Agent.With(console.SessionHeader, "")
}

// status is the exit status of an error.
func status(err error) int {
	var m misuse
	var e *ask.Error
	switch {
	case err == nil:
		return Done
	case errors.As(err, &m), ask.Refused(err, http.StatusBadRequest):
		return Misused
	case ask.Refused(err, http.StatusUnauthorized):
		return Locked
	case errors.As(err, &e) && e.Status == 0:
		return Away
	}
	return Failed
}

// Line writes a line.
func (s *Session) Line(text string) { fmt.Fprintf(s.Out, "%s\n", plain.Line(text)) }

func (s *Session) lines(all []string) {
	for _, l := range all {
		s.Line(l)
	}
}

func (s *Session) json(v any) {
	raw, err := json.Marshal(v)
	if err != nil {
		panic("BUG: an answer does not encode: " + err.Error())
	}
	fmt.Fprintf(s.Out, "%s\n", plain.JSON(raw))
}

// show writes a document as it was asked for.
func (s *Session) show(a args, doc any, lines []string) {
	if a.has("json") {
		s.json(doc)
		return
	}
	s.lines(lines)
}

// stream writes the lines of a text that keep wants.
func (s *Session) stream(ctx context.Context, a args, path string, keep func(string) bool) error {
	r, err := s.Agent.Open(ctx, path)
	if ask.Refused(err, http.StatusUnauthorized) {
		if err := s.login(ctx); err != nil {
			return err
		}
		r, err = s.Agent.Open(ctx, path)
	}
	if err != nil {
		return err
	}
	defer r.Close()
	in := bufio.NewScanner(r)
	in.Buffer(make([]byte, 4<<10), 1<<20)
	for in.Scan() {
		text := in.Text()
		if !keep(text) {
			continue
		}
		if a.has("json") {
			s.json(map[string]string{"line": text})
			continue
		}
		s.Line(text)
	}
	if err := in.Err(); err != nil {
		return &ask.Error{Status: http.StatusServiceUnavailable, Text: "it broke off: " + err.Error()}
	}
	return nil
}
