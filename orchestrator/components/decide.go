package components

import (
	"fmt"
	"time"

	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/orchestrator/store"
)

// margin is how long before the end of its time a version can be confirmed last: the word has to reach the host. late is after which time
// behind that end a host that runs the former version has gone back, if it is of before hosts said so.
const (
	margin = 2 * time.Second
	late   = 30 * time.Second
)

// usualWithin is how long a version has to be confirmed in when the order does not say.
const usualWithin = 10 * time.Minute

// order is who wants what.
type order struct {
	release    string
	image      host.Image
	process    host.Process
	within     time.Duration
	by, reason string
}

// begin is the record of a component whose node n is to run another version; changed is false when it runs that one, or tries it.
func begin(rec *store.Component, n store.Node, st host.ContainerStatus, o order, now time.Time) (next store.Component, changed bool,
	p *operator.Problem) {
	name := n.Container.Component
	if rec != nil {
		next = *rec
	} else {
		next = store.Component{Name: name, CTID: n.CTID, Version: store.ComponentVersion{Generation: n.Container.Generation,
			Image: n.Container.Image, Process: n.Container.Process}}
	}
	runs := next.Version.Image.Digest
	if runs == "" && st.Generation == n.Container.Generation { // it came with the boot medium: its host knows it
		runs = st.Image
	}
	switch {
	case next.Before != nil && runs == o.image.Digest:
		return next, false, nil
	case next.Before != nil:
		return next, false, operator.NewProblem(operator.Conflict, "components/"+name, fmt.Sprintf("release %s is tried, until %s",
			next.Version.Release, next.ConfirmBy.Format(time.RFC3339)), "wait for the end of that, or take it back")
	case runs == o.image.Digest && next.Version.Release == o.release:
		return next, false, nil
	case runs == o.image.Digest: // the releases differ in something else
		next.Version.Release = o.release
		return next, true, nil
	}
	before := next.Version
	if before.Image.Digest == "" && st.Generation == n.Container.Generation {
		before.Image.Digest = st.Image
	}
	before.Generation = n.Container.Generation
	next.Last = max(next.Last, n.Container.Generation) + 1
	process := o.process
	if len(n.Container.Process.Argv) > 0 { // with the flags that Day 0 gave it
		process.Argv = n.Container.Process.Argv
	}
	next.Version = store.ComponentVersion{Release: o.release, Generation: next.Last, Image: o.image, Process: process}
	next.Before, next.ConfirmBy = &before, now.Add(o.within)
	next.By, next.Reason, next.At, next.Failed = o.by, o.reason, now, nil
	return next, true, nil
}

// runs tells whether the host runs the version that is tried, and it serves.
func runs(rec *store.Component, n store.Node, st host.ContainerStatus) bool {
	return st.Image == rec.Version.Image.Digest && st.Generation == n.Container.Generation && st.State == host.CtRunning
}

// confirm is the record once the version that is tried stays.
func confirm(rec *store.Component, name string, n store.Node, st host.ContainerStatus, now time.Time) (store.Component, *operator.Problem) {
	object := "components/" + name
	switch {
	case rec == nil || rec.Before == nil:
		why := "no version of it is tried"
		if rec != nil && rec.Failed != nil {
			why += "; the last one did not stay: " + rec.Failed.Reason
		}
		return store.Component{}, operator.NewProblem(operator.Conflict, object, why, "see hnctl patch components")
	case now.After(rec.ConfirmBy.Add(-margin)):
		return store.Component{}, operator.NewProblem(operator.Conflict, object, "its time is over: its host goes back", "try it again")
	case !runs(rec, n, st):
		why := fmt.Sprintf("its host says generation %d is %s", st.Generation, st.State)
		if st.Reason != "" {
			why += ": " + st.Reason
		}
		return store.Component{}, operator.NewProblem(operator.Conflict, object, why, "wait until it runs and its check passes")
	}
	next := *rec
	next.Before, next.ConfirmBy = nil, time.Time{}
	return next, nil
}

// back is the record of a component that runs what it ran before.
func back(rec store.Component, why string, now time.Time) store.Component {
	rec.Failed = &store.ComponentFailure{Release: rec.Version.Release, Reason: why, At: now}
	rec.Version, rec.Before, rec.ConfirmBy = *rec.Before, nil, time.Time{}
	return rec
}

// settle is the record after what its host said; false: nothing is new.
func settle(rec store.Component, n store.Node, st host.ContainerStatus, now time.Time) (store.Component, bool) {
	switch {
	case rec.Before == nil, n.Container.ConfirmBy.IsZero():
		return rec, false
	case st.WentBack.Generation == n.Container.Generation:
		return back(rec, st.WentBack.Reason, now), true
	case now.After(rec.ConfirmBy.Add(late)) && st.Generation == rec.Before.Generation:
		return back(rec, "it was not confirmed in time", now), true
	}
	return rec, false
}
