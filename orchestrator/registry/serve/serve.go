// Package serve is the registry's door: who may do what, over TLS, on one port.
//
// Owns: the routes, the push token's check, client certificates' check, the translation of errors to problem+json.
// In: HTTPS requests.
// Out: template lists and images to hosts and components; pushes to package blobs; names to import.
// Never: parses an image, or says more of an inner error than its kind.
package serve

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"regexp"
	"strings"
	"syscall"
	"time"

	"hardnode.dev/internal/identity"
	"hardnode.dev/internal/logging"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/orchestrator/registry/blobs"
	"hardnode.dev/orchestrator/registry/catalog"
	"hardnode.dev/orchestrator/registry/flatten"
	"hardnode.dev/orchestrator/registry/importer"
	"hardnode.dev/orchestrator/registry/retire"
)

// importTime is the most that somebody who asks for an import is kept waiting: for its turn, and for an image of any size.
const importTime = 12 * time.Hour

// Server answers on 7445.
type Server struct {
	OCI       http.Handler // the distribution API
	Catalog   *catalog.Catalog
	Imports   func() []host.Import                                            // what is not imported (yet)
	Runs      func() []host.ImportRun                                         // the record of imports
	Import    func(context.Context, wire.TemplateName) (host.Template, error) // POST /import; it mends what is damaged
	Tag       func(ctx context.Context, repo, ref, tag string, move bool) error
	Tagged    func(context.Context, wire.TemplateName) (host.Template, error) // what got another name becomes a template by it
	Retire    *retire.Keeper
	Pushed    func(wire.TemplateName) // a manifest was pushed under that name
	TokenHash wire.Digest             // of the push token
	Log       *slog.Logger
	Now       func() time.Time
}

// Handler is the whole door.
func (s *Server) Handler() http.Handler {
	s.Log = logging.Or(s.Log)
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+host.PathHealthz, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) })
	mux.HandleFunc("GET "+host.PathImages, s.peers(s.list))
	mux.HandleFunc("GET "+host.PathImages+"/{digest}", s.peers(s.image))
	mux.HandleFunc("POST "+host.PathImport, s.importNow)
	mux.HandleFunc("POST "+host.PathTag, s.orchestrator(s.tag))
	mux.HandleFunc("PUT "+host.PathUsed, s.orchestrator(s.use))
	mux.HandleFunc("DELETE "+host.PathTemplates+"{name...}", s.orchestrator(s.remove))
	mux.HandleFunc("POST "+host.PathCollect, s.orchestrator(s.collect))
	mux.HandleFunc("/v2/", s.oci)
	return mux
}

// who is what a request may do.
type who int

const (
	nobody who = iota
	reader     // a host or component of this cluster
	pusher     // whoever has the push token
)

func (s *Server) who(r *http.Request) who {
	if token := tokenOf(r); token != "" {
		sum := sha256.Sum256([]byte(token))
		if subtle.ConstantTimeCompare([]byte(hex.EncodeToString(sum[:])), []byte(s.TokenHash.Hex())) == 1 {
			return pusher
		}
		return nobody
	}
	if _, ok := identity.ClientOf(r.TLS, s.Now()); ok {
		return reader
	}
	return nobody
}

// tokenOf is the bearer token, or the password of basic authentication (what container tools send; any user name will do).
func tokenOf(r *http.Request) string {
	if t, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer "); ok {
		return t
	}
	_, password, _ := r.BasicAuth()
	return password
}

// peers lets hosts and components in, by certificate.
func (s *Server) peers(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if _, ok := identity.ClientOf(r.TLS, s.Now()); !ok {
			operator.WriteProblem(w, operator.NewProblem(operator.Denied, r.URL.Path,
				"only hosts and components of this cluster may read templates", "use `hnctl template list` as a person"))
			return
		}
		next(w, r)
	}
}

func (s *Server) list(w http.ResponseWriter, _ *http.Request) {
	reply(w, host.Templates{Version: 1, Templates: s.Catalog.List(), Imports: s.Imports(), Runs: s.Runs()})
}

func (s *Server) image(w http.ResponseWriter, r *http.Request) {
	d := wire.Digest(r.PathValue("digest"))
	f, err := s.Catalog.Image(d)
	if err != nil {
		s.fail(w, "images/"+string(d), err)
		return
	}
	defer f.Close()
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("ETag", `"`+string(d)+`"`)
	w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
	http.ServeContent(w, r, "", time.Time{}, f)
}

func (s *Server) importNow(w http.ResponseWriter, r *http.Request) {
	if s.who(r) != pusher {
		s.challenge(w)
		return
	}
	q, err := host.DecodeImportRequest(http.MaxBytesReader(w, r.Body, 4<<10))
	if err != nil {
		operator.WriteProblem(w, operator.NewProblem(operator.Invalid, "import", err.Error(), `send {"name": "nginx:latest"}`))
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), importTime)
	defer cancel()
	t, err := s.Import(ctx, q.Name)
	if err != nil {
		s.fail(w, "templates/"+string(q.Name), err)
		return
	}
	reply(w, t)
}

var manifestPath = regexp.MustCompile(`^/v2/(.+)/manifests/([^/]+)$`)

// aboutTag is a tag under which tools keep what they say of the manifest with that digest: signatures, lists of referrers where a registry
// has no API for them (OCI distribution-spec 1.1, "Referrers Tag Schema"). It is no template's.
var aboutTag = regexp.MustCompile(`^sha(?:256|512)-[0-9a-f]{64,128}(?:\.[a-z]{1,20})?$`)

// oci lets certificate holders pull and token holders push. A manifest that was stored under a tag is imported.
func (s *Server) oci(w http.ResponseWriter, r *http.Request) {
	read := r.Method == http.MethodGet || r.Method == http.MethodHead
	switch s.who(r) {
	case nobody:
		s.challenge(w)
		return
	case reader:
		if !read {
			s.challenge(w)
			return
		}
	}
	m := manifestPath.FindStringSubmatch(r.URL.Path)
	if m != nil && r.Method == http.MethodDelete {
		s.deleteOCI(w, r, m[1], m[2])
		return
	}
	if r.Method != http.MethodPut || m == nil || strings.Contains(m[2], ":") {
		s.OCI.ServeHTTP(w, r)
		return
	}
	if aboutTag.MatchString(m[2]) {
		s.OCI.ServeHTTP(w, r)
		return
	}
	name := wire.TemplateName(m[1] + ":" + m[2])
	if err := name.Validate(); err != nil {
		operator.WriteProblem(w,
			operator.NewProblem(operator.Invalid, "templates/"+string(name), err.Error(), "push it under another name"))
		return
	}
	seen := &statusWriter{ResponseWriter: w}
	s.OCI.ServeHTTP(seen, r)
	if seen.status == http.StatusCreated {
		s.Pushed(name)
	}
}

type statusWriter struct {
	http.ResponseWriter
	status int
}

func (w *statusWriter) WriteHeader(code int) {
	if w.status == 0 {
		w.status = code
	}
	w.ResponseWriter.WriteHeader(code)
}

// Unwrap serves http.ResponseController.
func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (s *Server) challenge(w http.ResponseWriter) {
	w.Header().Set("WWW-Authenticate", `Basic realm="hardnode registry"`)
	p := operator.NewProblem(operator.Denied, "", "the push token is missing or wrong",
		"give the token that `hnctl cluster init` printed, as password or bearer token")
	p.Status = http.StatusUnauthorized
	operator.WriteProblem(w, p)
}

// fail answers with what went wrong; inner errors are logged, not shown.
func (s *Server) fail(w http.ResponseWriter, object string, err error) {
	p := operator.NewProblem(operator.Internal, object, "the registry could not do it",
		"see the registry's log: hnctl node logs --component registry")
	switch {
	case errors.Is(err, importer.ErrArtifact):
		p = operator.NewProblem(operator.Invalid, object, err.Error(), "it is stored, and can be pulled: push an image for a template")
	case errors.Is(err, flatten.ErrImage):
		p = operator.NewProblem(operator.Invalid, object, err.Error(), "mend the image and push it again")
	case errors.Is(err, blobs.ErrTaken):
		p = operator.NewProblem(operator.Conflict, object, "there is another image by this name",
			"choose another tag, or take this one away from that image: hnctl template tag --move")
	case errors.Is(err, importer.ErrNone), errors.Is(err, catalog.ErrNone):
		p = operator.NewProblem(operator.NotFound, object, "there is no such image in the registry", "push it first: hnctl template push")
	case errors.Is(err, retire.ErrUnknown):
		p = operator.NewProblem(operator.Unavailable, object, err.Error(), "try again when the orchestrator runs: hnctl cluster status")
	case errors.As(err, new(*retire.InUse)):
		p = operator.NewProblem(operator.Conflict, object, err.Error(), "delete those first, or let them use another template")
	case full(err):
		p = operator.NewProblem(operator.Exhausted, object, "the registry's volume is full; nothing was changed",
			"give the registry a larger volume, then import again")
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		p = operator.NewProblem(operator.Unavailable, object, "the import was interrupted; nothing was changed", "import it again")
	}
	s.Log.Warn("request failed", "object", object, "code", p.Code, logging.Err, err)
	operator.WriteProblem(w, p)
}

// full tells whether there was no room on the volume.
func full(err error) bool {
	return errors.Is(err, catalog.ErrFull) || errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}

func reply(w http.ResponseWriter, v any) {
	raw, err := json.Marshal(v)
	if err != nil {
		panic("BUG: encode answer: " + err.Error())
	}
	w.Header().Set("Content-Type", "application/json")
	w.Write(append(raw, '\n'))
}
