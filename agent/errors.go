package main

import (
	"context"
	"path/filepath"
	"time"

	"hardnode.dev/internal/jerror"
	"hardnode.dev/internal/logging"
	"hardnode.dev/internal/run"
	"hardnode.dev/internal/wire/jls"
)

// How often it is looked whether errors of this host wait, and how long it is waited after a try that failed.
const (
	tellEvery = time.Minute
	tellLater = 15 * time.Minute
)

// outward is what goes from this host to others beside its reports: its logs, and its errors.
func (a *agent) outward(ctx context.Context) error {
	return run.Group(ctx, a.log, run.Task{Name: "syslog", Run: a.export.Run}, run.Task{Name: "errors", Run: a.tellErrors})
}

// tellErrors notes what this boot came of, if that was an error, and gives what waits to the orchestrator, which passes it on.
func (a *agent) tellErrors(ctx context.Context) error {
	said := ""
	for wait := tellEvery / 6; run.Wait(ctx, wait); {
		err := a.giveErrors(ctx)
		if wait = tellEvery; err != nil {
			wait = tellLater
			if err.Error() != said && ctx.Err() == nil {
				a.log.Info("errors wait for the orchestrator", logging.Err, err)
			}
			said = err.Error()
		}
	}
	return nil
}

func (a *agent) giveErrors(ctx context.Context) error {
	for _, b := range a.facts.Boots() {
		if e, ok := jerror.OfBoot(b); ok {
			if err := a.errors.Once(b.ID, e); err != nil {
				return err
			}
		}
	}
	waiting, err := a.errors.Waiting()
	if err != nil || len(waiting.Errors) == 0 && waiting.Lost == 0 {
		return err
	}
	if err := a.link.Errors(ctx, waiting); err != nil {
		return err
	}
	return a.errors.Taken(waiting)
}

// errorSpool is where errors of this host wait.
func (a *agent) errorSpool(state string) *jerror.Spool {
	return &jerror.Spool{Path: filepath.Join(state, "errors.json")}
}

// fell notes what ended this agent, for the next one to tell, and returns it.
func (a *agent) fell(err error) error {
	if e := a.errors.Add(jls.ErrorReport{Errors: []jls.JError{jerror.Of("agent", "ended", err.Error(), time.Now())}}); e != nil {
		a.log.Warn("an error is not told", logging.Err, e)
	}
	return err
}
