// Package pull reads the hosts' records of use into the ledger.
//
// Owns: which records are asked for next, and when.
// In: the hosts of the cluster, their answers.
// Out: readings for the ledger, each of which follows the one before; what went wrong, once.
// Never: counts: the ledger does; gives a host up, or waits for one that is away longer than for one answer.
//
// A host has a series of revisions for minutes and one for hours (usage.PerHour). Minutes are read as long as the host has them, a day;
// after a longer time away the hours of what lies between are, and of the first of these what was not read by minutes.
package pull

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"hardnode.dev/internal/logging"
	"hardnode.dev/internal/run"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/metering"
	"hardnode.dev/internal/wire/usage"
	"hardnode.dev/orchestrator/metering/ledger"
)

// Every is how often hosts are read.
const Every = 5 * time.Minute

// How many hosts are asked at once, and how long one answer may take.
const (
	atOnce      = 8
	answerLimit = time.Minute
)

// Source is where hosts' records come from.
type Source interface {
	Hosts(context.Context) ([]metering.Host, error)
	Usage(context.Context, wire.HostID, usage.Ask) (usage.Answer, error)
}

// Puller reads. All of it but Log is needed.
type Puller struct {
	Source Source
	Ledger *ledger.Ledger
	Every  time.Duration
	Now    func() time.Time
	Log    *slog.Logger // nil discards

	mu struct {
		sync.Mutex
		away map[wire.HostID]bool // that this was said of
	}
	silent bool // the orchestrator did not answer, and that was said
}

// Run reads all hosts again and again until ctx ends. While the orchestrator does not answer it is asked more often.
func (p *Puller) Run(ctx context.Context) error {
	for {
		wait := p.Every
		if err := p.Round(ctx); err != nil && ctx.Err() == nil {
			wait = min(wait, 5*time.Second)
			if !p.silent {
				logging.Or(p.Log).Warn("hosts are not read: they keep what they count", logging.Err, err)
			}
			p.silent = true
		} else if p.silent {
			logging.Or(p.Log).Info("hosts are read again")
			p.silent = false
		}
		if !run.Wait(ctx, wait) {
			return nil
		}
	}
}

// Round reads all hosts once. One that can't be read is noted, and keeps no other one from being read.
func (p *Puller) Round(ctx context.Context) error {
	list, err := p.Source.Hosts(ctx)
	if err != nil {
		return err
	}
	if err := p.Ledger.Hosts(ctx, list); err != nil {
		return err
	}
	var wait sync.WaitGroup
	errs, turn := make([]error, len(list)), make(chan struct{}, atOnce)
	for i, h := range list {
		turn <- struct{}{}
		wait.Go(func() {
			defer func() { <-turn }()
			errs[i] = p.one(ctx, h)
		})
	}
	wait.Wait()
	return errors.Join(append(errs, p.Ledger.Forget(ctx, p.Now()))...)
}

// one reads a host, and notes what became of it.
func (p *Puller) one(ctx context.Context, h metering.Host) error {
	began := p.Now()
	err := p.host(ctx, h)
	if ctx.Err() != nil {
		return nil
	}
	p.mu.Lock()
	if p.mu.away == nil {
		p.mu.away = map[wire.HostID]bool{}
	}
	was := p.mu.away[h.ID]
	p.mu.away[h.ID] = err != nil
	p.mu.Unlock()
	trouble := ""
	if err != nil {
		trouble = err.Error()
	}
	switch {
	case err != nil && !was:
		logging.Or(p.Log).Warn("a host is not read: it keeps what it counts", logging.Host, h.Name, logging.Err, err)
	case err == nil && was:
		logging.Or(p.Log).Info("a host is read again", logging.Host, h.Name)
	}
	return p.Ledger.Seen(ctx, h.ID, began.Add(-time.Minute), trouble) // of the minute that is open there is no record yet
}

// host reads all that a host has and that was not read.
func (p *Puller) host(ctx context.Context, h metering.Host) error {
	book, from, err := p.Ledger.Book(ctx, h.ID)
	if err != nil {
		return err
	}
	for others := 0; ; {
		a, err := p.ask(ctx, h, usage.Ask{Step: usage.Minute, Since: from})
		switch {
		case err != nil:
			return err
		case a.Book != book: // it has another disk, or was not read before
			if others++; others > 2 {
				return fmt.Errorf("its records begin anew at each answer: book %s, then %s", book, a.Book)
			}
			if book = a.Book; book == "" {
				return errors.New("its records have no name")
			}
			if from, err = p.Ledger.Minute(ctx, h.ID, book); err != nil {
				return err
			}
			continue
		case a.Gone > from:
			if from, err = p.gap(ctx, h, book, from, a.Gone); err != nil {
				return err
			}
			continue
		case a.Next < from || a.More && a.Next == from:
			return fmt.Errorf("its records end at revision %d, and were read up to %d", a.Next, from)
		}
		if a.Next == from && !a.More {
			return nil
		}
		if err := p.take(ctx, h, ledger.Reading{Host: h.ID, Book: book, From: from, To: a.Next, Step: usage.Minute, MHz: a.MHz,
			Records: a.Records, At: p.Now()}); err != nil {
			return err
		}
		if from = a.Next; !a.More {
			return nil
		}
	}
}

// gap reads hours for the minutes that a host has not kept: those after from, up to gone. It returns how far it is read then.
func (p *Puller) gap(ctx context.Context, h metering.Host, book string, from, gone wire.Revision) (wire.Revision, error) {
	last := (gone + usage.PerHour - 1) / usage.PerHour // revision of the hours' last one
	for end := last * usage.PerHour; from < end; {
		a, err := p.ask(ctx, h, usage.Ask{Step: usage.Hour, Since: from / usage.PerHour})
		if err != nil {
			return from, err
		}
		if a.Book != book {
			return from, fmt.Errorf("its records began anew while they were read: book %s, then %s", book, a.Book)
		}
		in := ledger.Reading{Host: h.ID, Book: book, From: from, To: min(a.Next, last) * usage.PerHour, Step: usage.Hour, MHz: a.MHz,
			Lost: int64(max(min(a.Gone*usage.PerHour, end)-from, 0)), At: p.Now()}
		if !a.More && in.To < end || in.To <= from { // there are no more
			in.Lost, in.To = in.Lost+int64(end-max(in.To, from+wire.Revision(in.Lost))), end
		}
		for _, r := range a.Records {
			if r.Revision <= last {
				in.Records = append(in.Records, r)
			}
		}
		if err := p.take(ctx, h, in); err != nil {
			return from, err
		}
		if in.Lost > 0 {
			logging.Or(p.Log).Warn("what a host counted is lost: it had not kept it when it was read", logging.Host, h.Name,
				"minutes", in.Lost)
		}
		from = in.To
	}
	return from, nil
}

func (p *Puller) ask(ctx context.Context, h metering.Host, ask usage.Ask) (usage.Answer, error) {
	ctx, cancel := context.WithTimeout(ctx, answerLimit)
	defer cancel()
	return p.Source.Usage(ctx, h.ID, ask)
}

// take has the ledger count, and says what it refused.
func (p *Puller) take(ctx context.Context, h metering.Host, in ledger.Reading) error {
	refused, err := p.Ledger.Take(ctx, in)
	if len(refused) > 0 {
		logging.Or(p.Log).Warn("records of a host are not counted", logging.Host, h.Name, "records", len(refused), "first", refused[0])
	}
	return err
}
