// Package proxy carries requests to the nodes of the environment their Host header names.
//
// Owns: the choice of node for each try, what may be tried again, forwarded headers, the pages shown when there is no answer.
// In: HTTP/1.1 requests; the book of sites.
// Out: the node's answer, or a page that says which environment and why.
// Never: looks into a body, keeps an answer, or sends a request twice that may change something.
package proxy

import (
	"context"
	"errors"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"sync"
	"sync/atomic"
	"time"

	"hardnode.dev/internal/logging"
	"hardnode.dev/orchestrator/resolver/sites"
)

// Limits of one try, and of trying all nodes again.
const (
	DialTimeout   = time.Second
	HeaderTimeout = 60 * time.Second
	maxTries      = 5
	idlePerNode   = 64
	idleTime      = 55 * time.Second // below the 60 s and more that servers keep connections
	patience      = 5 * time.Second
	firstPause    = 100 * time.Millisecond // doubled each time: 6 rounds in patience
	maxWaiting    = 256                    // of one site: a dead environment must not hold the resolver's connections
)

// Proxy is the http.Handler.
type Proxy struct {
	Counters Counters

	book    *sites.Book
	reverse *httputil.ReverseProxy
	log     *slog.Logger
	said    atomic.Int64 // when a failed request was last logged, Unix time in seconds
}

// New makes a proxy over the book. Close it to drop its idle connections.
func New(book *sites.Book, l *slog.Logger) *Proxy {
	p := &Proxy{book: book, log: logging.Or(l)}
	dialer := &net.Dialer{Timeout: DialTimeout, KeepAlive: 15 * time.Second}
	p.reverse = &httputil.ReverseProxy{
		Rewrite: rewrite,
		Transport: &balancer{book: book, counters: &p.Counters, log: p.log, to: &http.Transport{
			DialContext: dialer.DialContext, MaxIdleConnsPerHost: idlePerNode, MaxIdleConns: 4096, IdleConnTimeout: idleTime,
			ResponseHeaderTimeout: HeaderTimeout, ExpectContinueTimeout: time.Second, MaxResponseHeaderBytes: 256 << 10,
			DisableCompression: true, ReadBufferSize: 16 << 10, WriteBufferSize: 16 << 10,
		}},
		BufferPool:   buffers{},
		ErrorHandler: p.failed,
		ErrorLog:     log.New(debugWriter{p.log}, "", 0),
	}
	return p
}

// Close drops idle connections to nodes.
func (p *Proxy) Close() { p.reverse.Transport.(*balancer).to.CloseIdleConnections() }

type siteKey struct{}

// ServeHTTP finds the site and hands the request on.
func (p *Proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.Counters.requests.Add(1)
	t := p.book.Table()
	if t == nil {
		p.page(w, r, page{code: http.StatusServiceUnavailable, title: "Not ready yet", text: "The resolver has no routes yet: it waits for the orchestrator.", retry: true})
		return
	}
	if r.Method == http.MethodConnect || r.URL.Host != "" && r.URL.Scheme != "http" {
		p.page(w, r, page{code: http.StatusBadRequest, title: "Bad request", text: "The resolver is no forward proxy."})
		return
	}
	s := t.Lookup(r.Host)
	switch {
	case s == nil:
		p.page(w, r, page{code: http.StatusNotFound, title: "No such environment", text: "Nothing is served under this name here."})
	case !s.Running:
		state := s.State
		if state == "" {
			state = "not running"
		}
		p.page(w, r, page{code: http.StatusServiceUnavailable, env: string(s.Env), title: "Environment is " + state, text: "It serves again once it is running.", retry: true})
	case len(s.Backends) == 0:
		p.page(w, r, page{code: http.StatusServiceUnavailable, env: string(s.Env), title: "No node is ready", text: "The environment is running, but none of its nodes serves yet.", retry: true})
	default:
		p.reverse.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), siteKey{}, s)))
	}
}

// rewrite sets the headers a node may rely on. ReverseProxy has dropped hop-by-hop headers and what the client said in X-Forwarded-*.
func rewrite(pr *httputil.ProxyRequest) {
	pr.Out.URL.Scheme, pr.Out.URL.Host = "http", pr.In.Host // the balancer puts the node's address there
	pr.Out.Host = pr.In.Host
	pr.SetXForwarded()
	pr.Out.Header["X-Real-Ip"] = pr.Out.Header["X-Forwarded-For"]
	if _, ok := pr.Out.Header["User-Agent"]; !ok {
		pr.Out.Header["User-Agent"] = nil // none came, none goes
	}
}

// failed answers for a node that did not.
func (p *Proxy) failed(w http.ResponseWriter, r *http.Request, err error) {
	s, _ := r.Context().Value(siteKey{}).(*sites.Site)
	if s == nil {
		panic("BUG: a request without a site was handed on")
	}
	var timeout net.Error
	switch {
	case r.Context().Err() != nil:
		p.Counters.gone.Add(1)
		panic(http.ErrAbortHandler) // the client has gone: nobody reads an answer
	case errors.As(err, new(*http.MaxBytesError)):
		p.page(w, r, page{code: http.StatusRequestEntityTooLarge, env: string(s.Env), title: "Request too large", text: err.Error()})
	case errors.As(err, &timeout) && timeout.Timeout():
		p.page(w, r, page{code: http.StatusGatewayTimeout, env: string(s.Env), title: "No answer in time", text: "The environment's node took too long to answer."})
	default:
		p.page(w, r, page{code: http.StatusBadGateway, env: string(s.Env), title: "No answer", text: "None of the environment's nodes could be reached, or the one that was broke off.", retry: true})
	}
	if now := time.Now().Unix(); p.said.Swap(now) != now { // one a second: a dead environment under load fills no disk
		p.log.Warn("request failed", logging.Env, s.Env, logging.Err, err)
	}
}

// buffers lends copy buffers.
type buffers struct{}

var bufferPool = sync.Pool{New: func() any { return new([32 << 10]byte) }}

func (buffers) Get() []byte  { return bufferPool.Get().(*[32 << 10]byte)[:] }
func (buffers) Put(b []byte) { bufferPool.Put((*[32 << 10]byte)(b)) }

// debugWriter takes what net/http says of single connections.
type debugWriter struct{ log *slog.Logger }

func (d debugWriter) Write(b []byte) (int, error) {
	d.log.Debug(string(b))
	return len(b), nil
}
