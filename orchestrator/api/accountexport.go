package api

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"hardnode.dev/internal/logging"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/account"
	"hardnode.dev/internal/wire/document"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/internal/wire/share"
	"hardnode.dev/orchestrator/authz"
	"hardnode.dev/orchestrator/door"
	"hardnode.dev/orchestrator/sealed"
	"hardnode.dev/orchestrator/store"
)

const accountExportPath = "/accounts/{account}/export"

// afterWorks are the operations that an account which is suspended or closing may ask for though they need more than scope read: they
// change nothing.
var afterWorks = map[string]bool{"exportAccount": true}

type accountExportInput struct {
	Account wire.Account `path:"account" maxLength:"40"`
	Secrets bool         `query:"secrets" doc:"With the values of secret variables: for the account's owners, in a session"`
}

// exports are the exports under way: one of an account, and so many of all, for each costs a share of a core. Some are kept for those who
// run the cluster.
type exports struct {
	sync.Mutex
	of map[wire.Account]bool
}

const (
	maxExports   = 6
	keptExports  = 2                // of them, that accounts leave to the admins
	longestTaken = 15 * time.Minute // of an export: who takes it slower keeps others waiting
)

func (e *exports) enter(a, by wire.Account) (leave func(), ok bool) {
	most := maxExports - keptExports
	if by == wire.AdminAccount {
		most = maxExports
	}
	e.Lock()
	defer e.Unlock()
	if e.of[a] || len(e.of) >= most {
		return nil, false
	}
	if e.of == nil {
		e.of = map[wire.Account]bool{}
	}
	e.of[a] = true
	return func() {
		e.Lock()
		defer e.Unlock()
		delete(e.of, a)
	}, true
}

// accountExport registers the export, which is a stream.
func (s *Server) accountExport() {
	op := s.operation(route{"exportAccount", "GET", accountExportPath,
		"What an account has, as a tar.gz: the files of its environments, its people, services, tokens and shares, its record",
		authz.Admin, 200})
	op.Responses = map[string]*huma.Response{"200": {Description: "The archive", Content: map[string]*huma.MediaType{
		"application/gzip": {Schema: &huma.Schema{Type: "string", Format: "binary"}}}}}
	huma.Register(s.api, op, func(ctx context.Context, in *accountExportInput) (*huma.StreamResponse, error) {
		c := s.caller(ctx)
		a, err := s.Accounts.Get(c.Account, in.Account)
		if err != nil {
			return nil, err
		}
		object := "accounts/" + string(a.Name)
		if a.Name == wire.AdminAccount { // it sees all of the others'
			return nil, operator.NewProblem(operator.Denied, object, "it is the account of those who run the cluster: it is never closed, "+
				"and is not exported", "hnctl env export writes the file of an environment")
		}
		if in.Secrets && (c.Account != a.Name || c.User == "") { // those who run the cluster make tokens of any account
			return nil, operator.NewProblem(operator.Denied, object, "the values of secret variables are for the account's owners, "+
				"signed in", "leave secrets out, or have an owner sign in and export it")
		}
		leave, ok := s.exporting.enter(a.Name, c.Account)
		if !ok {
			return nil, operator.NewProblem(operator.Exhausted, object, "it is being exported already, or many others are",
				"try again when that has ended")
		}
		what := object
		if in.Secrets {
			what += " (with the values of secret variables)"
		}
		if err := s.doOf(c, a.Name, "account.export", what, func() error { return nil }); err != nil {
			leave()
			return nil, err
		}
		return &huma.StreamResponse{Body: func(hc huma.Context) {
			defer leave()
			s.sendExport(hc, a, in.Secrets)
		}}, nil
	})
}

// sendExport sends the archive. One that breaks off has no end, which whoever unpacks it sees.
func (s *Server) sendExport(hc huma.Context, a account.Account, secrets bool) {
	hc.SetHeader("Content-Type", "application/gzip")
	hc.SetHeader("Content-Disposition", fmt.Sprintf("attachment; filename=\"account-%s.tar.gz\"", a.Name))
	out, ok := hc.BodyWriter().(http.ResponseWriter)
	if !ok {
		return
	}
	ctx, end := context.WithTimeoutCause(hc.Context(), longestTaken, fmt.Errorf("it was not taken within %s", longestTaken))
	defer end()
	zip := gzip.NewWriter(&timely{w: out, ctl: http.NewResponseController(out)})
	e := &export{ctx: ctx, tar: tar.NewWriter(zip), at: time.Now().UTC().Truncate(time.Second)}
	s.export(e, a, secrets)
	if e.err == nil {
		e.err = e.tar.Close()
	}
	if e.err == nil {
		e.err = zip.Close()
	}
	if e.err != nil {
		logging.Or(s.Log).Info("an export broke off", "account", string(a.Name), logging.Err, e.err)
		panic(http.ErrAbortHandler) // so that the answer has no end either
	}
}

// timely is an answer whose parts each have to be taken in time.
type timely struct {
	w   io.Writer
	ctl *http.ResponseController
}

// Write sends a part.
func (t *timely) Write(p []byte) (int, error) {
	t.ctl.SetWriteDeadline(time.Now().Add(door.WriteLimit))
	return t.w.Write(p)
}

// export is an archive that grows by files; the first error ends it.
type export struct {
	ctx context.Context
	tar *tar.Writer
	at  time.Time
	err error
}

func (e *export) file(name string, content []byte) {
	if e.err == nil {
		e.err = context.Cause(e.ctx)
	}
	if e.err == nil {
		e.err = e.tar.WriteHeader(&tar.Header{Name: name, Mode: 0o600, Size: int64(len(content)), ModTime: e.at, Format: tar.FormatPAX})
	}
	if e.err == nil {
		_, e.err = e.tar.Write(content)
	}
}

func (e *export) json(name string, v any) {
	raw, err := json.MarshalIndent(v, "", "  ")
	if err != nil && e.err == nil {
		e.err = err
	}
	e.file(name, append(raw, '\n'))
}

// Of the record so many bytes, and as many records more as are read at once, are a file.
const (
	auditPart  = 1 << 20
	auditBatch = 50
)

// export writes all files of an account.
func (s *Server) export(e *export, a account.Account, secrets bool) {
	e.file("README.txt", []byte(readme(a.Name, e.at, secrets)))
	e.json("account.json", a)
	given := []share.Share{}
	for rec := range store.EnvsOf.Of(s.Store.View(), string(a.Name)) {
		if rec.System || rec.Want == store.WantDeleted {
			continue
		}
		shared, err := s.Shares.Given(a.Name, rec.Spec.Name)
		if err == nil { // it may have been deleted since
			given = append(given, shared...)
		}
		spec := sealed.Shown(rec.Declared())
		if secrets {
			var err error
			if spec, err = s.Secrets.Reveal(rec.Account, rec.Declared()); err != nil && e.err == nil {
				e.err = err
			}
		}
		in := "environments/"
		if rec.InTrash() {
			in = "trash/"
		}
		e.file(in+string(rec.Spec.Name)+".yaml", document.Write(spec))
	}
	e.json("shared-by-it.json", given)
	e.json("users.json", s.Users.List(a.Name))
	e.json("services.json", s.Users.Services(a.Name))
	e.json("tokens.json", s.Tokens.List(a.Name))
	e.json("shared-with-it.json", s.Shares.Taken(a.Name))
	part, n := bytes.Buffer{}, 1
	for place := int64(-1); place != 0 && e.err == nil; {
		list, next, err := s.Audit.Back(place, auditBatch, func(x operator.Audit) (keep, goOn bool) {
			return audited(a.Name, x).Seq != 0, true
		})
		if err != nil {
			e.err = err
			return
		}
		for _, x := range list {
			raw, err := json.Marshal(audited(a.Name, x))
			if err != nil {
				e.err = err
				return
			}
			part.Write(append(raw, '\n'))
		}
		if place = next; part.Len() >= auditPart || place == 0 {
			e.file(fmt.Sprintf("audit/%04d.jsonl", n), part.Bytes())
			part.Reset()
			n++
		}
	}
}

// readme says what is in an archive, and what isn't.
func readme(name wire.Account, at time.Time, secrets bool) string {
	values := "Of secret variables they have the names alone: an owner of the account gets the values too, by hnctl account export " +
		"--secrets."
	if secrets {
		values = "They have the values of secret variables: keep them from others."
	}
	return strings.Join([]string{
		fmt.Sprintf("Account %s, as it was at %s.", name, at.Format(time.RFC3339)), "",
		"account.json         the account, what it has and may have",
		"environments/*.yaml  the files of its environments, for hnctl env apply. " + values,
		"trash/*.yaml         of those that wait in its trash, the same",
		"users.json           its people and their roles; no passwords",
		"services.json        its services",
		"tokens.json          its tokens, without their text",
		"shared-by-it.json    what of it is shared with other accounts, or offered to them",
		"shared-with-it.json  what other accounts share with it",
		"audit/*.jsonl        its record, the newest first, a line of JSON each", "",
		"Not in it: the data of nodes, which hnctl node backup keeps, host names, certificates and images.", ""}, "\n")
}
