package blobs

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/distribution/distribution/v3"
	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"

	"hardnode.dev/orchestrator/registry/importer"
)

// maxPage is the most entries of one answer, whatever n asks for: who wants more follows the Link.
const maxPage = 1000

// catalog answers GET /v2/_catalog: the repositories that hold something.
func (s *Store) catalog(w http.ResponseWriter, r *http.Request) {
	names, err := s.repositories(r.Context())
	if err != nil {
		Refuse(w, http.StatusInternalServerError, "UNKNOWN", "the repositories could not be listed")
		return
	}
	if page, ok := cut(w, r, names); ok {
		send(w, map[string]any{"repositories": page})
	}
}

// tags answers GET /v2/<name>/tags/list (OCI distribution-spec 1.1, "Listing Tags").
func (s *Store) tags(w http.ResponseWriter, r *http.Request, name string) {
	tags, err := s.tagsOf(r.Context(), name)
	switch {
	case errors.Is(err, importer.ErrNone):
		Refuse(w, http.StatusNotFound, "NAME_UNKNOWN", "there is no such repository in the registry")
	case err != nil:
		Refuse(w, http.StatusInternalServerError, "UNKNOWN", "the tags could not be listed")
	default:
		if page, ok := cut(w, r, tags); ok {
			send(w, map[string]any{"name": name, "tags": page})
		}
	}
}

// repositories are the names of all repositories that have a manifest, in no order.
func (s *Store) repositories(ctx context.Context) ([]string, error) {
	var out []string
	e, ok := s.ns.(distribution.RepositoryEnumerator)
	if !ok {
		return nil, errors.New("list repositories: the registry can't")
	}
	err := e.Enumerate(ctx, func(name string) error {
		some, err := s.holds(ctx, name)
		if some {
			out = append(out, name)
		}
		return err
	})
	if err = known(err); errors.Is(err, importer.ErrNone) {
		err = nil // nothing was ever pushed
	}
	return out, err
}

// holds tells whether a repository has a manifest.
func (s *Store) holds(ctx context.Context, name string) (found bool, err error) {
	err = s.manifests(ctx, name, func(string) error {
		found = true
		return errors.New("found: look no further") // the library wraps it beyond recognition
	})
	if found {
		return true, nil
	}
	return false, err
}

// manifests gives the digests of all manifests of a repository to use; a repository without any has none.
func (s *Store) manifests(ctx context.Context, name string, use func(d string) error) error {
	_, ms, err := s.open(ctx, name)
	if err != nil {
		return err
	}
	e, ok := ms.(distribution.ManifestEnumerator)
	if !ok {
		return errors.New("list manifests: the registry can't")
	}
	err = known(e.Enumerate(ctx, func(d digest.Digest) error { return use(string(d)) }))
	if errors.Is(err, importer.ErrNone) {
		return nil
	}
	return err
}

// tagsOf are a repository's tags; importer.ErrNone when there is no such repository.
func (s *Store) tagsOf(ctx context.Context, name string) ([]string, error) {
	repo, _, err := s.open(ctx, name)
	if err != nil {
		return nil, err
	}
	tags, err := repo.Tags(ctx).All(ctx)
	if err = known(err); errors.Is(err, importer.ErrNone) {
		if some, e := s.holds(ctx, name); e != nil || some {
			return nil, e
		}
	}
	whole := tags[:0]
	for _, tag := range tags { // one that points nowhere was being made or deleted when the program was killed
		_, e := repo.Tags(ctx).Get(ctx, tag)
		if e = known(e); e == nil {
			whole = append(whole, tag)
		} else if !errors.Is(e, importer.ErrNone) {
			return nil, e
		}
	}
	return whole, err
}

func (s *Store) open(ctx context.Context, name string) (distribution.Repository, distribution.ManifestService, error) {
	named, err := reference.WithName(name)
	if err != nil {
		return nil, nil, errors.Join(importer.ErrNone, err)
	}
	repo, err := s.ns.Repository(ctx, named)
	if err != nil {
		return nil, nil, err
	}
	ms, err := repo.Manifests(ctx)
	return repo, ms, err
}

// before is the order of lists: without regard to case, as the specification asks; where that says nothing, by bytes.
func before(a, b string) int {
	return cmp.Or(strings.Compare(strings.ToLower(a), strings.ToLower(b)), strings.Compare(a, b))
}

// cut is the part of a list that the query asks for: n entries behind last. A Link header names the rest (RFC 8288). Not ok: it has
// answered.
func cut(w http.ResponseWriter, r *http.Request, all []string) (page []string, ok bool) {
	q, n := r.URL.Query(), maxPage
	if q.Has("n") {
		var err error
		if n, err = strconv.Atoi(q.Get("n")); err != nil || n < 0 {
			Refuse(w, http.StatusBadRequest, "PAGINATION_NUMBER_INVALID", "n is how many entries are wanted: a number from 0 on")
			return nil, false
		}
	}
	n = min(n, maxPage)
	slices.SortFunc(all, before)
	if last := q.Get("last"); last != "" {
		at, found := slices.BinarySearchFunc(all, last, before)
		if found {
			at++
		}
		all = all[at:]
	}
	if page = append([]string{}, all[:min(n, len(all))]...); n > 0 && len(all) > n {
		next := url.URL{Path: r.URL.Path, RawQuery: url.Values{"n": {strconv.Itoa(n)}, "last": {page[n-1]}}.Encode()}
		w.Header().Set("Link", "<"+next.String()+`>; rel="next"`)
	}
	return page, true
}

func send(w http.ResponseWriter, v any) {
	raw, err := json.Marshal(v)
	if err != nil {
		panic("BUG: encode list: " + err.Error())
	}
	if w.Header().Get("Content-Type") == "" {
		w.Header().Set("Content-Type", "application/json")
	}
	w.Write(append(raw, '\n'))
}

// Refuse answers with one error as the distribution API words them (OCI distribution-spec 1.1, "Error Codes").
func Refuse(w http.ResponseWriter, status int, code, message string) {
	raw, err := json.Marshal(map[string]any{"errors": []map[string]string{{"code": code, "message": message}}})
	if err != nil {
		panic("BUG: encode error: " + err.Error())
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	w.Write(append(raw, '\n'))
}
