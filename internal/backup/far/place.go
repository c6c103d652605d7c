package far

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"time"

	"hardnode.dev/internal/run"
	"hardnode.dev/internal/wire"
)

// Place is a backup.Place at the other end of streams. Its methods are called one after the other. Close it.
type Place struct {
	// Of names it in errors: "host host-2".
	Of string
	// Dial opens a stream; what a Read gives at its end is why it ended. ErrRefused is an answer, and not asked for again.
	Dial  func(ctx context.Context) (io.ReadWriteCloser, error)
	Pause time.Duration // before a stream is made anew, then twice as long; 0 is a second

	to   io.ReadWriteCloser // nil: there is none
	from *bufio.Reader
	was  bool // there was one
}

// ErrRefused is in the error of a Dial that the other side has refused.
var ErrRefused = errors.New("refused")

// tries is how often a question is asked whose stream breaks, or can't be made again: the other side may be coming up. Without a first
// stream there is no second try.
const tries = 6

// May says why backups of a node can't be put there, or nil.
func (p *Place) May(ctx context.Context, node wire.CTID) error {
	_, _, err := p.call(ctx, ask{What: may, Node: node}, nil, 0)
	return err
}

// Room is how much there is.
func (p *Place) Room(ctx context.Context) (Room, error) {
	a, _, err := p.call(ctx, ask{What: room}, nil, 0)
	if err == nil && a.Room == nil {
		err = fmt.Errorf("%s: it does not say how much room it has", p.Of)
	}
	if err != nil {
		return Room{}, err
	}
	return *a.Room, nil
}

// Put implements backup.Place.
func (p *Place) Put(ctx context.Context, name string, data []byte) error {
	if len(data) > MaxObject {
		return fmt.Errorf("%s: put %s: %d bytes are more than an object may have: %d", p.Of, name, len(data), MaxObject)
	}
	_, _, err := p.call(ctx, ask{What: put, Name: name, Bytes: int64(len(data))}, data, 0)
	return err
}

// Get implements backup.Place.
func (p *Place) Get(ctx context.Context, name string, most int64) ([]byte, error) {
	_, data, err := p.call(ctx, ask{What: get, Name: name}, nil, most)
	return data, err
}

// List implements backup.Place.
func (p *Place) List(ctx context.Context, prefix string) (names []string, err error) {
	_, data, err := p.call(ctx, ask{What: list, Name: prefix}, nil, MaxObject)
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(data, &names); err != nil {
		return nil, fmt.Errorf("%s: list %q: its answer is no list: %v", p.Of, prefix, err)
	}
	return names, nil
}

// Delete implements backup.Place.
func (p *Place) Delete(ctx context.Context, name string) error {
	_, _, err := p.call(ctx, ask{What: remove, Name: name}, nil, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// Close ends the stream.
func (p *Place) Close() {
	if p.to != nil {
		p.to.Close()
	}
	p.to, p.from = nil, nil
}

// call asks, again on another stream if one breaks. Each question may be asked twice.
func (p *Place) call(ctx context.Context, q ask, body []byte, most int64) (a answer, data []byte, err error) {
	for try := range tries {
		if try > 0 && !run.Wait(ctx, cmp.Or(p.Pause, time.Second)<<(try-1)) {
			break
		}
		if a, data, err = p.once(ctx, q, body, most); err == nil {
			return a, data, p.said(q, a)
		}
		p.Close()
		if !p.was || errors.Is(err, ErrRefused) || errors.Is(err, errOdd) || ctx.Err() != nil {
			break
		}
	}
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	return a, nil, fmt.Errorf("%s: %w", p.Of, err)
}

// said is what the other end has against it.
func (p *Place) said(q ask, a answer) error {
	switch {
	case a.None:
		return fs.ErrNotExist
	case a.Error != "":
		return fmt.Errorf("%s: %.600s", p.Of, a.Error)
	}
	return nil
}

// errOdd is an answer that the other end must not give.
var errOdd = errors.New("an answer that is none")

func (p *Place) once(ctx context.Context, q ask, body []byte, most int64) (a answer, data []byte, err error) {
	if p.to == nil {
		to, err := p.Dial(ctx)
		if err != nil {
			return a, nil, err
		}
		p.to, p.from, p.was = to, bufio.NewReaderSize(to, 64<<10), true
	}
	to := p.to
	defer context.AfterFunc(ctx, func() { to.Close() })()
	var line bytes.Buffer
	if err := write(&line, q); err != nil {
		return a, nil, err
	}
	_, err = p.to.Write(line.Bytes())
	if err == nil && len(body) > 0 {
		_, err = p.to.Write(body)
	}
	if rerr := read(p.from, &a); rerr != nil {
		return a, nil, rerr // it says why the stream ended; a write does not
	}
	if err != nil {
		return a, nil, err
	}
	if a.Bytes < 0 || a.Bytes > most {
		return a, nil, fmt.Errorf("%w: %s %q: it has %d bytes, and at most %d can be", errOdd, q.What, q.Name, a.Bytes, most)
	}
	if a.Bytes > 0 {
		data = make([]byte, a.Bytes)
		if _, err := io.ReadFull(p.from, data); err != nil {
			return a, nil, err
		}
	}
	return a, data, nil
}
