package hostapi

import (
	"context"
	"net/http"
	"time"

	"hardnode.dev/internal/identity"
	"hardnode.dev/internal/run"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/operator"
)

// How often it is looked whether netboot is to be told something else: releases are not in the store, whose changes are followed.
const (
	lookAgain = 2 * time.Second
	notSooner = 250 * time.Millisecond
)

// isNetboot tells whether the component netboot calls; another caller is told that it may not.
func isNetboot(w http.ResponseWriter, r *http.Request) bool {
	p, ok := identity.ClientOf(r.TLS, time.Now())
	if !ok || p.Component != host.ComponentNetboot {
		operator.WriteProblem(w, operator.NewProblem(operator.Denied, r.URL.Path, "this needs the certificate of netboot", ""))
		return false
	}
	return true
}

func (s *Server) netboot(w http.ResponseWriter, r *http.Request) {
	if !isNetboot(w, r) {
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), wait(r))
	defer cancel()
	for {
		over := s.Store.View().Over()
		doc, on := s.Netboot.Document()
		if !on {
			doc = host.Netboot{Version: 1, Sum: "off", Reason: "netboot is switched off", Releases: []host.NetbootRelease{}}
		}
		if doc.Sum != r.URL.Query().Get("sum") {
			answer(w, doc)
			return
		}
		timer := time.NewTimer(lookAgain)
		select {
		case <-over:
			run.Wait(ctx, notSooner)
		case <-timer.C:
		case <-ctx.Done():
		}
		timer.Stop()
		if ctx.Err() != nil {
			w.WriteHeader(http.StatusNoContent)
			return
		}
	}
}

// netbootReport takes in what netboot says of itself.
func (s *Server) netbootReport(w http.ResponseWriter, r *http.Request) {
	if !isNetboot(w, r) {
		return
	}
	report, err := host.DecodeNetbootReport(r.Body)
	if err != nil {
		operator.WriteProblem(w, operator.NewProblem(operator.Invalid, r.URL.Path, err.Error(), ""))
		return
	}
	s.Netboot.Report(report)
	w.WriteHeader(http.StatusNoContent)
}

// netbootFile gives a file of a release, whole or in part.
func (s *Server) netbootFile(w http.ResponseWriter, r *http.Request) {
	if !isNetboot(w, r) {
		return
	}
	f, err := s.Release(wire.Digest(r.PathValue("digest")))
	if err != nil {
		operator.WriteProblem(w, err)
		return
	}
	defer f.Close()
	http.NewResponseController(w).SetWriteDeadline(time.Now().Add(slowFile))
	w.Header().Set("Content-Type", "application/octet-stream")
	http.ServeContent(w, r, "", time.Time{}, f)
}

// slowFile is how long a file may take.
const slowFile = 15 * time.Minute
