package machine

import (
	"context"
	"time"

	"hardnode.dev/init/leaving"
	"hardnode.dev/internal/keep"
	"hardnode.dev/internal/wire/boot"
)

// bootCount is how many boots in a row failed, and why the last did.
type bootCount struct {
	Failures int    `json:"failures"`
	Reason   string `json:"reason,omitempty"`
}

var countDoc = keep.Doc[bootCount]{Path: boot.StateDir + "/boot.json", Version: 1}

const (
	// maxFailures boots in a row may end in a reboot; then the host stays up for a person to look at.
	maxFailures = 5
	// pauseCounted is how long a failure stays on the console; pauseBlind is for failures before /state is there, which can't be counted.
	// A host with slots goes on to the other one, so that it must not be long.
	pauseCounted = 10 * time.Second
	pauseBlind   = time.Minute
)

// verdict decides what a failed boot leads to, from the failures before it.
func verdict(before int, counted bool) (pause time.Duration, again bool) {
	switch {
	case !counted:
		return pauseBlind, true
	case before+1 >= maxFailures:
		return 0, false
	}
	return pauseCounted, true
}

// afterFailure counts this failure durably and returns the verdict.
func (m *Machine) afterFailure(reason string) (pause time.Duration, again bool) {
	if m.data == nil {
		return verdict(0, false)
	}
	before := make(chan int, 1)
	err := leaving.Within(stopDisk, func() error {
		doc, _, err := countDoc.Load()
		if err == nil {
			err = countDoc.Save(bootCount{Failures: doc.Failures + 1, Reason: reason})
		}
		before <- doc.Failures
		return err
	})
	if err != nil { // the disk may be what failed, and be silent
		m.con.Line("count the failed boot: %v", err)
		return verdict(0, false)
	}
	return verdict(<-before, true)
}

// stepCounted ends the row of failures: this boot reached its services.
func (m *Machine) stepCounted(context.Context) (string, error) {
	doc, _, err := countDoc.Load()
	if err != nil || doc.Failures == 0 {
		return "", err
	}
	return "after failed boots; the last: " + doc.Reason, countDoc.Save(bootCount{})
}
