package proxy

import (
	"net/http"
	"net/url"
	"strings"
	"time"

	wirefront "hardnode.dev/internal/wire/front"
	"hardnode.dev/orchestrator/resolver/accesslog"
)

// Requests takes an entry of each request to an environment that asked for it. It does not wait.
type Requests interface {
	Add(name string, e accesslog.Entry)
}

// The longest values that an entry has, in bytes.
const (
	longestPath  = 1024
	longestAgent = 256
)

// record adds a request that has ended.
func (p *Proxy) record(r *http.Request, x *exchange, w *counted, begin time.Time) {
	e := accesslog.Entry{Time: begin.UTC(), Client: text(p.trusted.Client(r)), Method: r.Method, Scheme: p.trusted.scheme(r),
		Host: cut(r.Host, longestAgent), Path: path(r), Protocol: r.Proto, Status: w.status, Sent: w.sent,
		Millis: float64(time.Since(begin).Microseconds()) / 1000, Referrer: referrer(r.Referer()),
		Agent: cut(r.UserAgent(), longestAgent)}
	if x.by != nil {
		e.Node = x.by.CTID
	}
	if e.Status == 0 && x.by != nil && x.at == nil {
		e.Status = http.StatusSwitchingProtocols
	}
	p.Requests.Add(wirefront.LogName(x.site.Env, x.site.Since), e)
}

// path is what was asked for, as it came, but for its query, and for a pass of maintenance.
func path(r *http.Request) string {
	at, _, _ := strings.Cut(r.RequestURI, "?")
	if r.URL.Scheme != "" {
		at = r.URL.EscapedPath()
	}
	if strings.HasPrefix(r.URL.Path, wirefront.BypassPath) {
		at = wirefront.BypassPath
	}
	return cut(at, longestPath)
}

// referrer is that without its query and without a name and password.
func referrer(s string) string {
	u, err := url.Parse(s)
	if s == "" || err != nil {
		return ""
	}
	u.User, u.RawQuery, u.ForceQuery, u.Fragment, u.RawFragment = nil, "", false, "", ""
	return cut(u.String(), longestAgent)
}

func cut(s string, n int) string {
	if len(s) > n {
		return s[:n]
	}
	return s
}

// counted knows what was answered.
type counted struct {
	http.ResponseWriter
	status int
	sent   int64
}

func (c *counted) WriteHeader(code int) {
	if c.status == 0 && (code >= 200 || code == http.StatusSwitchingProtocols) {
		c.status = code
	}
	c.ResponseWriter.WriteHeader(code)
}

func (c *counted) Write(p []byte) (int, error) {
	if c.status == 0 {
		c.status = http.StatusOK
	}
	n, err := c.ResponseWriter.Write(p)
	c.sent += int64(n)
	return n, err
}

// Unwrap is for http.ResponseController.
func (c *counted) Unwrap() http.ResponseWriter { return c.ResponseWriter }

// uncounted is what w counts for.
func uncounted(w http.ResponseWriter) http.ResponseWriter {
	if c, is := w.(*counted); is {
		return c.ResponseWriter
	}
	return w
}
