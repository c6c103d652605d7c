package proxy

import (
	"fmt"
	"html/template"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
)

// page is an answer of the resolver's own.
type page struct {
	code        int
	env         string // "" when none is meant
	title, text string
	retry       bool   // say when to come back
	own         string // the environment's own page, HTML; "": the resolver's
}

const retryAfter = "5" // seconds

var pageTemplate = template.Must(template.New("page").Parse(`<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><title>{{.Title}}</title>
<style>:root{color-scheme:light dark}body{font:16px/1.5 system-ui,sans-serif;max-width:36rem;margin:14vh auto 0;padding:0 1.5rem}h1{font-size:1.4rem;margin:0 0 .5rem}p{margin:.25rem 0}.q{opacity:.65;font-size:.9rem;margin-top:1.5rem}</style></head>
<body><h1>{{.Title}}</h1>{{if .Env}}<p>Environment <b>{{.Env}}</b></p>{{end}}<p>{{.Text}}</p><p class="q">{{.Code}} · {{.Host}}</p></body></html>
`))

// page answers with a small page, or with plain text where no HTML is asked for.
func (p *Proxy) page(w http.ResponseWriter, r *http.Request, pg page) {
	p.Counters.own.Add(1)
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	if pg.own == "" { // what people write themselves is styled as they like
		h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'")
	}
	if pg.retry {
		h.Set("Retry-After", retryAfter)
	}
	if !strings.Contains(r.Header.Get("Accept"), "text/html") {
		h.Set("Content-Type", "text/plain; charset=utf-8")
		w.WriteHeader(pg.code)
		if pg.env != "" {
			fmt.Fprintf(w, "%s: environment %s: %s\n", pg.title, pg.env, pg.text)
		} else {
			fmt.Fprintf(w, "%s: %s\n", pg.title, pg.text)
		}
		return
	}
	h.Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(pg.code)
	if pg.own != "" {
		io.WriteString(w, pg.own)
		return
	}
	data := struct {
		Title, Env, Text, Host string
		Code                   int
	}{pg.title, pg.env, pg.text, r.Host, pg.code}
	if err := pageTemplate.Execute(w, data); err != nil {
		p.log.Debug("page not sent", "err", err)
	}
}

// Counters count since the start. Its zero value is ready.
type Counters struct {
	requests, retries, own, gone atomic.Int64
}

// Snapshot is the counters at one moment: requests taken, tries beyond the first, answers of the resolver's own, clients that went away.
type Snapshot struct{ Requests, Retries, Own, Gone int64 }

// Read takes a snapshot.
func (c *Counters) Read() Snapshot {
	return Snapshot{c.requests.Load(), c.retries.Load(), c.own.Load(), c.gone.Load()}
}
