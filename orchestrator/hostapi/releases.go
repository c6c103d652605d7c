package hostapi

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/orchestrator/store"
)

// Releases are those that were imported, for hosts that are to run one of them.
type Releases interface {
	// Metadata is a file of a repository's metadata; false where there is none.
	Metadata(repository, name string) ([]byte, bool)
	// Read is bytes of a file of a release: at most length of them from offset on.
	Read(digest wire.Digest, offset int64, length int) ([]byte, error)
}

// Readers is how many hosts are answered with parts of releases at a time; another one waits for readerWait at most. A whole fleet that
// fetches a release takes a bounded part of this program's memory, and of what its reports need.
const (
	readers    = 8
	readerWait = 10 * time.Second
)

// reader takes a place among the readers; false when there is none, and then the host was told so.
func (s *Server) reader(w http.ResponseWriter, r *http.Request) bool {
	late := time.NewTimer(readerWait)
	defer late.Stop()
	select {
	case s.reading <- struct{}{}:
		return true
	case <-r.Context().Done():
		return false
	case <-late.C:
	}
	w.Header().Set("Retry-After", "2")
	operator.WriteProblem(w, operator.NewProblem(operator.Unavailable, r.URL.Path, fmt.Sprintf("%d hosts read releases at this moment",
		readers), "try again in a moment"))
	return false
}

// plain answers with bytes as they are.
func plain(w http.ResponseWriter, raw []byte) {
	http.NewResponseController(w).SetWriteDeadline(time.Now().Add(slowWrite))
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Content-Length", strconv.Itoa(len(raw)))
	w.Write(raw) // the only error is a caller that has gone
}

// metadata gives a host a file of a repository's metadata. Nobody has to trust it: the host verifies it by the pins of its configuration.
func (s *Server) metadata(w http.ResponseWriter, r *http.Request, _ store.Host) {
	raw, ok := s.Releases.Metadata(r.PathValue("repository"), r.PathValue("name"))
	if !ok {
		operator.WriteProblem(w, operator.NewProblem(operator.NotFound, r.URL.Path, "there is no such file", "hnctl release import"))
		return
	}
	if s.reader(w, r) {
		defer func() { <-s.reading }()
		plain(w, raw)
	}
}

// releasePeers names hosts that say they run the system of a digest, a few of them, in no order: so that they share the work.
func (s *Server) releasePeers(w http.ResponseWriter, r *http.Request, h store.Host) {
	digest := wire.Digest(r.PathValue("digest"))
	out, view := host.ReleasePeers{Hosts: []wire.HostID{}}, s.Store.View()
	for id, is := range s.Fleet.Snapshot() { // of a map: in no order
		rep := is.Report
		if len(out.Hosts) == host.MaxReleasePeers {
			break
		}
		if id == h.ID || rep == nil || rep.System == nil || rep.System.Digest != digest || time.Since(is.Received) > peerSilent {
			continue
		}
		if store.Hosts.Find(view, string(id)) != nil {
			out.Hosts = append(out.Hosts, id)
		}
	}
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(out) // the only error is a caller that has gone
}

// peerSilent is how long a host that is named to others may have said nothing.
const peerSilent = 30 * time.Second

// releaseFile gives a host bytes of a release's file; fewer than it asked for at the file's end.
func (s *Server) releaseFile(w http.ResponseWriter, r *http.Request, _ store.Host) {
	offset, err := number(r, "offset")
	length, err2 := number(r, "length")
	switch {
	case err != nil || err2 != nil:
		if err == nil {
			err = err2
		}
		operator.WriteProblem(w, err)
		return
	case length < 1 || length > host.MaxRange:
		operator.WriteProblem(w, operator.NewProblem(operator.Invalid, "length", fmt.Sprintf("%d, want 1 to %d", length, host.MaxRange),
			"compare the versions of host and orchestrator"))
		return
	}
	if !s.reader(w, r) {
		return
	}
	defer func() { <-s.reading }()
	raw, err := s.Releases.Read(wire.Digest(r.PathValue("digest")), int64(offset), int(length))
	if err != nil {
		operator.WriteProblem(w, err)
		return
	}
	plain(w, raw)
}
