package blobs

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"

	"github.com/opencontainers/go-digest"

	"hardnode.dev/orchestrator/registry/importer"
)

// maxManifest is the most bytes of a manifest (OCI distribution-spec 1.1 asks for at least 4 MiB).
const maxManifest = 4 << 20

var (
	tagsPath     = regexp.MustCompile(`^/v2/(.+)/tags/list$`)
	manifestPath = regexp.MustCompile(`^/v2/(.+)/manifests/([^/]+)$`)
	blobPath     = regexp.MustCompile(`^/v2/(.+)/blobs/(sha256:[0-9a-f]+)$`)
	uploadPath   = regexp.MustCompile(`^/v2/(.+)/blobs/uploads/[^/]*$`)
)

// ServeHTTP answers the OCI distribution API. Lists and deletion are our own: the library's lists stop short, or refuse what clients ask
// for, and what it deletes could be what a push under way relies on.
func (s *Store) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	read := r.Method == http.MethodGet || r.Method == http.MethodHead
	path := r.URL.Path
	if m := tagsPath.FindStringSubmatch(path); m != nil && read {
		s.tags(w, r, m[1])
		return
	}
	if path == "/v2/_catalog" && read {
		s.catalog(w, r)
		return
	}
	if m := referrersPath.FindStringSubmatch(path); m != nil && read {
		s.referrers(w, r, m[1], m[2])
		return
	}
	if !read && (strings.Contains(path, "sha512:") || strings.HasPrefix(r.URL.Query().Get("digest"), "sha512:")) {
		Refuse(w, http.StatusBadRequest, "DIGEST_INVALID", "this registry keeps content under sha256 only: push with sha256 digests")
		return
	}
	if m := manifestPath.FindStringSubmatch(path); m != nil {
		switch r.Method {
		case http.MethodPut:
			s.putManifest(w, r, m[1], m[2])
			return
		case http.MethodDelete:
			s.deleteManifest(w, r, m[1], m[2])
			return
		}
		if d := digest.Digest(m[2]); r.Method == http.MethodHead && d.Validate() == nil {
			s.found(w, r, m[1], d)
			return
		}
	}
	if m := blobPath.FindStringSubmatch(path); m != nil {
		if r.Method == http.MethodDelete {
			w.Header().Set("Allow", "GET, HEAD")
			Refuse(w, http.StatusMethodNotAllowed, "UNSUPPORTED",
				"a blob goes by itself when no manifest needs it any more: delete the tag or the manifest")
			return
		}
		if r.Method == http.MethodHead {
			s.found(w, r, m[1], digest.Digest(m[2]))
			return
		}
	}
	if m := uploadPath.FindStringSubmatch(path); m != nil {
		if d := digest.Digest(r.URL.Query().Get("mount")); d.Validate() == nil {
			s.found(w, r, m[1], d)
			return
		}
		if d := digest.Digest(r.URL.Query().Get("digest")); d.Validate() == nil {
			s.upload(w, r, m[1], d)
			return
		}
	}
	s.library(w, r)
}

// found answers who asks whether something is there, or takes it over from another repository: so pushes begin. Nothing is collected
// meanwhile, and what was found is a push's from now on.
func (s *Store) found(w http.ResponseWriter, r *http.Request, repo string, d digest.Digest) {
	s.commit.RLock()
	defer s.commit.RUnlock()
	seen := &created{ResponseWriter: w}
	s.library(seen, r)
	if seen.status == http.StatusOK || seen.status == http.StatusCreated {
		s.flight.touch(repo, d, s.now())
	}
}

// upload takes a blob's last bytes. That may last, so collections don't wait for it: one that is there already is the push's before, a new
// one after.
func (s *Store) upload(w http.ResponseWriter, r *http.Request, repo string, d digest.Digest) {
	if _, err := os.Stat(s.path(d)); err == nil {
		s.flight.touch(repo, d, s.now())
	}
	seen := &created{ResponseWriter: w}
	s.library(seen, r)
	if seen.status == http.StatusCreated {
		s.flight.touch(repo, d, s.now())
	}
}

// putManifest stores a manifest. Nothing is collected between the look for its parts and its storing.
func (s *Store) putManifest(w http.ResponseWriter, r *http.Request, repo, ref string) {
	raw, err := io.ReadAll(io.LimitReader(r.Body, maxManifest+1))
	if err != nil {
		Refuse(w, http.StatusBadRequest, "MANIFEST_INVALID", "the manifest was cut off on its way")
		return
	}
	if len(raw) > maxManifest {
		Refuse(w, http.StatusRequestEntityTooLarge, "MANIFEST_INVALID", "the manifest has more than 4 MiB")
		return
	}
	d := digest.FromBytes(raw)
	s.flight.touch(repo, d, s.now())
	r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(raw)), int64(len(raw))
	s.commit.RLock()
	defer s.commit.RUnlock()
	var said links
	json.Unmarshal(raw, &said) // the library refuses what is none
	seen := &created{ResponseWriter: w, subject: said.Subject.Digest}
	s.library(seen, r)
	if seen.status == http.StatusCreated && digest.Digest(ref).Validate() != nil {
		s.landed(r.Context(), repo, d)
	}
}

// landed tells flight what a new tag reaches.
func (s *Store) landed(ctx context.Context, repo string, d digest.Digest) {
	g, done := &graph{manifests: map[digest.Digest]links{}}, map[digest.Digest]bool{}
	for todo := []digest.Digest{d}; len(todo) > 0; {
		at := todo[0]
		todo = todo[1:]
		if done[at] {
			continue
		}
		done[at] = true
		l, err := s.links(ctx, repo, at)
		if err != nil {
			continue // then its parts wait for the end of the grace
		}
		g.manifests[at] = l
		for _, m := range l.Manifests {
			todo = append(todo, m.Digest)
		}
	}
	s.flight.landed(repo, g.reach(d))
}

// created watches the answer to a manifest: who pushed one with a subject is told that it is found by it (OCI distribution-spec 1.1,
// "Pushing Manifests with Subject").
type created struct {
	http.ResponseWriter
	subject digest.Digest
	status  int
}

func (c *created) WriteHeader(code int) {
	if c.status == 0 {
		if c.status = code; code == http.StatusCreated && c.subject != "" {
			c.Header().Set("OCI-Subject", c.subject.String())
		}
	}
	c.ResponseWriter.WriteHeader(code)
}

// Unwrap serves http.ResponseController.
func (c *created) Unwrap() http.ResponseWriter { return c.ResponseWriter }

// library lets the library answer.
func (s *Store) library(w http.ResponseWriter, r *http.Request) {
	told := &inner{ResponseWriter: w, late: r.Method == http.MethodPatch}
	s.app.ServeHTTP(told, r)
	if told.late && told.code != 0 {
		if m := uploadPath.FindStringSubmatch(r.URL.Path); told.code == http.StatusAccepted && m != nil && !s.kept(m[1], w.Header()) {
			for _, h := range []string{"Location", "Range", "Docker-Upload-UUID", "Content-Length"} {
				w.Header().Del(h)
			}
			Refuse(w, http.StatusInsufficientStorage, "DENIED",
				"what came could not be kept, as when the registry's volume is full: "+makeRoom)
			return
		}
		w.WriteHeader(told.code)
	}
	told.end()
}

// kept tells whether as much of an upload is on the disk as the answer's Range says: the library answers before it writes the last bytes,
// and says nothing when there is no room for them. Of one byte and of none the Range is the same (OCI distribution-spec 1.1, "Pushing a
// blob in chunks"): those pass.
func (s *Store) kept(repo string, head http.Header) bool {
	_, last, _ := strings.Cut(head.Get("Range"), "-")
	n, err := strconv.ParseInt(last, 10, 64)
	id := head.Get("Docker-Upload-UUID")
	if err != nil || n == 0 || id == "" || strings.ContainsAny(id, "/.") {
		return true
	}
	st, err := os.Stat(filepath.Join(s.dir, "docker/registry/v2/repositories", repo, "_uploads", id, "data"))
	return err != nil || st.Size() > n
}

const makeRoom = "delete templates (hnctl template rm), or give it a larger volume, and push again"

// inner keeps the library's inner errors, which name files of this machine, from who asks: they are in the log.
type inner struct {
	http.ResponseWriter
	held bool
	said []byte
	late bool // a status that is no error waits in code
	code int
}

// maxSaid is how much of an inner error is looked at.
const maxSaid = 64 << 10

func (i *inner) WriteHeader(code int) {
	i.held = i.held || code == http.StatusInternalServerError
	switch {
	case i.held:
	case i.late && code < 300:
		i.code = code
	default:
		i.ResponseWriter.WriteHeader(code)
	}
}

func (i *inner) Write(b []byte) (int, error) {
	if !i.held {
		if i.code != 0 {
			i.ResponseWriter.WriteHeader(i.code)
			i.code = 0
		}
		return i.ResponseWriter.Write(b)
	}
	i.said = append(i.said, b[:min(len(b), maxSaid-len(i.said))]...)
	return len(b), nil
}

// Unwrap serves http.ResponseController.
func (i *inner) Unwrap() http.ResponseWriter { return i.ResponseWriter }

// end says of an inner error what a person can do about it.
func (i *inner) end() {
	if !i.held {
		return
	}
	i.Header().Del("Content-Length")
	for _, full := range []error{syscall.ENOSPC, syscall.EDQUOT} {
		if bytes.Contains(i.said, []byte(full.Error())) {
			Refuse(i.ResponseWriter, http.StatusInsufficientStorage, "DENIED", // tools try again at once what is UNKNOWN
				"the registry's volume is full: "+makeRoom)
			return
		}
	}
	Refuse(i.ResponseWriter, http.StatusInternalServerError, "UNKNOWN",
		"the registry could not do it: see its log (hnctl node logs registry)")
}

func (s *Store) deleteManifest(w http.ResponseWriter, r *http.Request, repo, ref string) {
	_, err := s.Delete(r.Context(), repo, ref)
	switch {
	case errors.Is(err, importer.ErrNone):
		Refuse(w, http.StatusNotFound, "MANIFEST_UNKNOWN", "there is no such manifest or tag in the registry")
	case err != nil:
		Refuse(w, http.StatusInternalServerError, "UNKNOWN", "it could not be deleted: see the registry's log")
	default:
		w.WriteHeader(http.StatusAccepted)
	}
}
