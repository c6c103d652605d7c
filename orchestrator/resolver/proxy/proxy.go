// Package proxy carries requests to the nodes of the environment their Host header names.
//
// Owns: the choice of node for each try, what may be tried again, forwarded headers, the pages shown when there is no answer; the limits of
// clients.
// In: HTTP/1.1 and HTTP/2 requests; the book of sites; the proxies that may speak for clients.
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
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"hardnode.dev/internal/limit"
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
	maxHeld       = 1024                   // likewise, while a node of it moves to another host
)

// Proxy is the http.Handler.
type Proxy struct {
	Counters Counters
	Requests Requests // nil: no environment's requests are kept
	Proxied  Trusted  // peers that say by the PROXY protocol who the client is; set before anything is listened on

	book    *sites.Book
	trusted Trusted
	pace    limit.Pace
	atOnce  limit.Gate // requests
	reverse *httputil.ReverseProxy
	log     *slog.Logger
	said    atomic.Int64 // when a failed request was last logged, Unix time in seconds
	leaving atomic.Bool
}

// New makes a proxy over the book. Close it to drop its idle connections.
func New(book *sites.Book, trusted Trusted, l *slog.Logger) *Proxy {
	p := &Proxy{book: book, trusted: trusted, pace: pace, log: logging.Or(l)}
	p.atOnce.All, p.atOnce.Each, p.atOnce.Exempt = MaxConnections, MaxEach, trusted.Has
	dialer := &net.Dialer{Timeout: DialTimeout, KeepAlive: 15 * time.Second}
	to := &http.Transport{
		DialContext: dialer.DialContext, MaxIdleConnsPerHost: idlePerNode, MaxIdleConns: 4096, IdleConnTimeout: idleTime,
		ResponseHeaderTimeout: HeaderTimeout, ExpectContinueTimeout: time.Second, MaxResponseHeaderBytes: 256 << 10,
		DisableCompression: true, ReadBufferSize: 16 << 10, WriteBufferSize: 16 << 10,
	}
	calls := to.Clone() // gRPC: HTTP/2 by prior knowledge; the answer's head may come as late as its first message
	calls.ResponseHeaderTimeout, calls.Protocols = pace.Idle, new(http.Protocols)
	calls.Protocols.SetUnencryptedHTTP2(true)
	calls.HTTP2 = &http.HTTP2Config{SendPingTimeout: 15 * time.Second}
	p.reverse = &httputil.ReverseProxy{
		Rewrite:      p.rewrite,
		Transport:    &balancer{book: book, counters: &p.Counters, log: p.log, to: to, calls: calls},
		BufferPool:   buffers{},
		ErrorHandler: p.failed,
		ModifyResponse: func(resp *http.Response) error {
			x := exchangeOf(resp.Request)
			strict(resp.Header, x.hsts)
			x.stay(resp.Header)
			return nil
		},
		ErrorLog: log.New(debugWriter{p.log}, "", 0),
	}
	return p
}

// Leave has each answer end its connection from now on: the client makes its next one, to whoever serves then.
func (p *Proxy) Leave() { p.leaving.Store(true) }

// Close drops idle connections to nodes: at the end, and when nodes have gone to other hosts, where nobody knows them.
func (p *Proxy) Close() {
	b := p.reverse.Transport.(*balancer)
	b.to.CloseIdleConnections()
	b.calls.CloseIdleConnections()
}

// exchange is what goes with a request through ReverseProxy.
type exchange struct {
	site *sites.Site
	in   *http.Request  // as the server gave it: it gets the body's trailers
	to   *url.URL       // the target at the node
	hsts string         // Strict-Transport-Security
	at   *sites.Backend // that answers; nil: none does yet, or it is a tunnel
	by   *sites.Backend // likewise, also a tunnel's

	sticky, secure bool           // the client is to stay with by, as its cookie says; the cookie is for HTTPS only
	stuck          *sites.Backend // with whom it came to stay

	waits time.Time // until when it waits for nodes that are held; zero: it has met none
}

type exchangeKey struct{}

func exchangeOf(r *http.Request) *exchange {
	x, _ := r.Context().Value(exchangeKey{}).(*exchange)
	if x == nil {
		panic("BUG: a request without a site was handed on")
	}
	return x
}

// ServeHTTP finds the site and hands the request on.
func (p *Proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.Counters.requests.Add(1)
	if p.leaving.Load() {
		w.Header().Set("Connection", "close")
	}
	leave, ok := p.atOnce.Enter(p.trusted.Client(r))
	if !ok {
		p.busy(w, r)
		return
	}
	defer leave()
	t := p.book.Table()
	if t == nil {
		p.page(w, r, page{code: http.StatusServiceUnavailable, title: "Not ready yet",
			text: "The resolver has no routes yet: it waits for the orchestrator.", retry: true})
		return
	}
	if r.Method == http.MethodConnect || r.URL.Host != "" && r.URL.Scheme != "http" {
		p.page(w, r, page{code: http.StatusBadRequest, title: "Bad request", text: "The resolver is no forward proxy."})
		return
	}
	if why := misframed(r); why != "" {
		w.Header().Set("Connection", "close")
		p.page(w, r, page{code: http.StatusBadRequest, title: "Bad request", text: "Where the request ends can't be told: " + why + "."})
		return
	}
	to, err := target(r)
	if err != nil {
		p.page(w, r, page{code: http.StatusBadRequest, title: "Bad request",
			text: "The address asked for is not spelled as HTTP wants it (RFC 9112, section 3.2)."})
		return
	}
	secure := secureOf(r)
	if misdirected(t, secure, r.Host) {
		p.page(w, r, page{code: http.StatusMisdirectedRequest, title: "Asked on the wrong connection",
			text: "This name has another certificate than the connection was made with: make another one for it."})
		return
	}
	n := t.Name(r.Host)
	if n == nil {
		p.page(w, r, page{code: http.StatusNotFound, title: "No such environment", text: "Nothing is served under this name here."})
		return
	}
	if answer := n.Answer(r.URL.Path); answer != "" {
		proved(w, r, answer)
		return
	}
	x := &exchange{site: n.Site, in: r, to: to}
	if f := n.Site.Front; f != nil && f.AccessLog && p.Requests != nil {
		counted := &counted{ResponseWriter: w}
		w = counted
		defer p.record(r, x, counted, time.Now())
	}
	p.serve(w, r, n, x)
}

// serve answers for a name that is known.
func (p *Proxy) serve(w http.ResponseWriter, r *http.Request, n *sites.Name, x *exchange) {
	s, scheme := n.Site, p.trusted.scheme(r)
	if scheme == "http" && n.Redirect {
		toHTTPS(w, r)
		return
	}
	if scheme == "https" {
		x.hsts = n.HSTS
	}
	leave, ok := s.Enter(p.trusted.Client(r))
	if !ok {
		p.page(w, r, page{code: http.StatusTooManyRequests, env: string(s.Env), title: "Too many requests at once",
			text: "The environment takes no more of one address at the same moment.", retry: true})
		return
	}
	defer leave()
	if s.Front != nil && s.Front.Maintenance && !p.admitted(w, r, s, scheme) {
		return
	}
	switch {
	case !s.Running:
		strict(w.Header(), x.hsts)
		state := s.State
		if state == "" {
			state = "not running"
		}
		p.page(w, r, page{code: http.StatusServiceUnavailable, env: string(s.Env), title: "Environment is " + state,
			text: "It serves again once it is running.", retry: true, own: s.Front.Page("down")})
	case len(s.Backends) == 0:
		strict(w.Header(), x.hsts)
		p.page(w, r, page{code: http.StatusServiceUnavailable, env: string(s.Env), title: "No node is ready",
			text: "The environment is running, but none of its nodes serves yet.", retry: true, own: s.Front.Page("down")})
	default:
		defer func() {
			if x.at != nil {
				x.at.Leave()
			}
		}()
		x.stick(r, scheme)
		p.reverse.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), exchangeKey{}, x)))
	}
}

// rewrite sets the target and the headers a node may rely on. ReverseProxy has dropped hop-by-hop headers.
func (p *Proxy) rewrite(pr *httputil.ProxyRequest) {
	pr.Out.URL, pr.Out.Host = exchangeOf(pr.In).to, pr.In.Host // the balancer puts the node's address into the URL
	p.trusted.forward(pr.In, pr.Out.Header)
	if !mayUpgrade(pr.Out.Header.Get("Upgrade")) {
		pr.Out.Header.Del("Upgrade")
		pr.Out.Header.Del("Connection")
	}
	pr.Out.Header.Del("Http2-Settings")
	for name := range pr.Out.Trailer {
		if !mayTrail(name) {
			delete(pr.Out.Trailer, name)
		}
	}
	if pr.In.ContentLength < 0 && pr.Out.Trailer == nil {
		pr.Out.Trailer = http.Header{} // trailers that were not announced go on all the same
	}
	if _, ok := pr.Out.Header["User-Agent"]; !ok {
		pr.Out.Header["User-Agent"] = nil // none came, none goes
	}
}

// mayUpgrade tells which protocols a client may change to. HTTP/2 is not among them (RFC 9113 has taken "h2c" back): requests inside would
// go past all that is done here.
func mayUpgrade(protocol string) bool {
	p := strings.ToLower(protocol)
	return p != "h2c" && !strings.HasPrefix(p, "http/") && !strings.HasPrefix(p, "tls/") && !strings.ContainsAny(p, ", ")
}

// failed answers for a node that did not.
func (p *Proxy) failed(w http.ResponseWriter, r *http.Request, err error) {
	s := exchangeOf(r).site
	strict(w.Header(), exchangeOf(r).hsts)
	own := s.Front.Page("error")
	var timeout net.Error
	switch {
	case limit.Slow(uncounted(w)):
		w.Header().Set("Connection", "close")
		p.page(w, r, page{code: http.StatusRequestTimeout, env: string(s.Env), title: "Request too slow",
			text: "The body of the request came too slowly, or not at all."})
		return
	case r.Context().Err() != nil:
		p.Counters.gone.Add(1)
		panic(http.ErrAbortHandler) // the client has gone: nobody reads an answer
	case errors.As(err, new(*http.MaxBytesError)):
		p.page(w, r, page{code: http.StatusRequestEntityTooLarge, env: string(s.Env), title: "Request too large", text: err.Error()})
	case errors.As(err, &timeout) && timeout.Timeout():
		p.page(w, r, page{code: http.StatusGatewayTimeout, env: string(s.Env), title: "No answer in time",
			text: "The environment's node took too long to answer.", own: own})
	case errors.Is(err, errHeld):
		p.page(w, r, page{code: http.StatusServiceUnavailable, env: string(s.Env), title: "On the move",
			text: "The environment's node moves to another host, and does not answer there yet.", retry: true, own: own})
	default:
		p.page(w, r, page{code: http.StatusBadGateway, env: string(s.Env), title: "No answer",
			text: "None of the environment's nodes could be reached, or the one that was broke off.", retry: true, own: own})
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
