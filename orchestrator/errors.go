package main

import (
	"time"

	"hardnode.dev/internal/jerror"
	"hardnode.dev/internal/logging"
	"hardnode.dev/internal/wire/jls"
)

// fell notes what ended this orchestrator, nil for nothing, to be told by the next one, and returns it.
func (o *orchestrator) fell(err error) error {
	if err == nil {
		return nil
	}
	e := jerror.Of("orchestrator", "ended", err.Error(), time.Now())
	if wrong := o.license.Errors.Add(jls.ErrorReport{Errors: []jls.JError{e}}); wrong != nil {
		o.log.Warn("an error is not told", logging.Err, wrong)
	}
	return err
}
