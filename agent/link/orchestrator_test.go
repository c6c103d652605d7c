package link

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"

	"hardnode.dev/internal/identity"
	"hardnode.dev/internal/wire/boot"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/internal/wire/waiting"
)

// orchestrator is the host API as far as a link sees it.
type orchestrator struct {
	t     *testing.T
	ca    *identity.Authority
	trust identity.Trust
	srv   *httptest.Server
	addr  string

	mu       sync.Mutex
	refuse   *operator.Problem // of the next enrolments
	admits   string            // "" as version 0.1, which knows no machines that wait; "wait", "admit"
	code     string            // in the answer to an enrolment
	asks     []waiting.Request
	conflict *operator.Problem // of the next reports
	leafAge  time.Duration     // how old the certificates it signs are
	reports  []host.Report
	keeps    bool          // it keeps whole reports, and knows unchanged renewals
	kept     host.Report   // the last whole one; without a digest when it has none
	hold     chan struct{} // the next report is not answered before it is closed
	assigned *host.Assignment
	answers  http.HandlerFunc // answers polls of assignments, instead of assigned; may be nil
	ask      *host.SessionRequest
	protocol int // of the host API; 0 is the first
	ws       chan *websocket.Conn
	renewals []string // "certificate" or "proof"
	renewing func()   // called at each renewal
}

func newOrchestrator(t *testing.T) *orchestrator {
	t.Helper()
	now := time.Now()
	root, err := identity.NewRoot(clusterID, now)
	if err != nil {
		t.Fatal(err)
	}
	issuing, err := root.Issue(clusterID, now)
	if err != nil {
		t.Fatal(err)
	}
	o := &orchestrator{t: t, renewing: func() {}, ca: &identity.Authority{Root: root.Cert, Issuing: issuing, Cluster: clusterID},
		ws: make(chan *websocket.Conn, 1)}
	o.trust = identity.Trust{Pin: identity.Pin(root.Cert), Cluster: clusterID}
	key, _ := identity.NewKey()
	csr, _ := identity.CSR(key)
	chain, err := o.ca.Sign(csr, identity.Peer{CTID: 3, Component: "orchestrator"}, nil, now)
	if err != nil {
		t.Fatal(err)
	}
	cred, err := identity.NewCredential(key, chain)
	if err != nil {
		t.Fatal(err)
	}
	var self identity.Holder
	self.Set(cred)
	mux := http.NewServeMux()
	mux.HandleFunc("POST "+host.PathEnroll, o.enroll)
	mux.HandleFunc("POST "+host.PathRenew, o.renew)
	mux.HandleFunc("POST "+waiting.Path, o.waiting)
	mux.HandleFunc("POST "+host.PathReport, o.report)
	mux.HandleFunc("GET "+host.PathAssigned, o.assignment)
	mux.HandleFunc("GET "+host.PathSessions, o.sessions)
	mux.HandleFunc("GET "+host.PathSession+"{id}", o.session)
	mux.HandleFunc("GET /never", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	o.srv = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if o.protocol > 0 {
			w.Header().Set(host.ProtocolHeader, strconv.Itoa(o.protocol))
		}
		mux.ServeHTTP(w, r)
	}))
	o.srv.Config.ErrorLog = nil
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	o.srv.Listener.Close()
	o.srv.Listener = tls.NewListener(l, identity.ServerTLS(o.trust, nil, &self))
	o.srv.Start()
	t.Cleanup(o.srv.Close)
	o.addr = l.Addr().String()
	return o
}

func reply(w http.ResponseWriter, v any) { json.NewEncoder(w).Encode(v) }

func no(w http.ResponseWriter, p *operator.Problem) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(p.Status)
	reply(w, p)
}

func (o *orchestrator) sign(csr []byte) [][]byte {
	chain, err := o.ca.Sign(csr, identity.Peer{Host: hostID, Role: host.RoleUser, Name: "host-1"}, nil, time.Now().Add(-o.leafAge))
	if err != nil {
		o.t.Error(err)
	}
	return chain
}

func (o *orchestrator) enroll(w http.ResponseWriter, r *http.Request) {
	o.mu.Lock()
	defer o.mu.Unlock()
	var req host.EnrollRequest
	if err := json.NewDecoder(r.Body).Decode(&req); err != nil || req.Token.Reveal() != "hn1.token" {
		o.t.Errorf("enrol: got %+v, %v", req, err)
	}
	if o.refuse != nil {
		no(w, o.refuse)
		return
	}
	reply(w, host.EnrollReply{Host: hostID, Name: "host-1", Cluster: clusterID, Chain: o.sign(req.CSR), Now: time.Now(), Code: o.code})
}

func (o *orchestrator) waiting(w http.ResponseWriter, r *http.Request) {
	o.mu.Lock()
	defer o.mu.Unlock()
	var req waiting.Request
	if err := json.NewDecoder(r.Body).Decode(&req); err != nil {
		o.t.Error(err)
	}
	o.asks = append(o.asks, req)
	switch o.admits {
	case "":
		no(w, operator.NewProblem(operator.NotFound, r.URL.Path, "the host API has no POST here", "compare the versions"))
	case "wait":
		reply(w, waiting.Reply{Code: "WHAT-THEY-SAYS", Again: 1})
	default:
		reply(w, waiting.Reply{Enrolled: &host.EnrollReply{Host: hostID, Name: "host-1", Cluster: clusterID, Chain: o.sign(req.CSR),
			Now: time.Now(), Code: o.code}})
	}
}

func (o *orchestrator) renew(w http.ResponseWriter, r *http.Request) {
	o.mu.Lock()
	defer o.mu.Unlock()
	var req host.RenewRequest
	json.NewDecoder(r.Body).Decode(&req)
	how := "certificate"
	if _, ok := identity.ClientOf(r.TLS, time.Now()); !ok {
		how = "proof"
		csr, err := x509.ParseCertificateRequest(req.CSR)
		if err != nil ||
			!ed25519.Verify(csr.PublicKey.(ed25519.PublicKey), identity.RenewalText(hostID, req.Time, sha256.Sum256(req.CSR)), req.Proof) {
			o.t.Errorf("renewal without a certificate carries no valid proof: %v", err)
		}
	}
	o.renewals = append(o.renewals, how)
	o.leafAge = 0
	o.renewing()
	reply(w, host.RenewReply{Chain: o.sign(req.CSR), Now: time.Now()})
}

func (o *orchestrator) report(w http.ResponseWriter, r *http.Request) {
	p, ok := identity.ClientOf(r.TLS, time.Now())
	if !ok || p.Host != hostID {
		no(w, operator.NewProblem(operator.Denied, "host", "no certificate", ""))
		return
	}
	var rep host.Report
	json.NewDecoder(r.Body).Decode(&rep)
	o.mu.Lock()
	o.reports = append(o.reports, rep)
	p2, hold := o.conflict, o.hold
	o.hold = nil
	answer := host.ReportReply{Now: time.Now(), State: "ACTIVE"}
	switch {
	case rep.Unchanged != "" && !o.keeps: // as an earlier orchestrator says it
		p2 = operator.NewProblem(operator.Invalid, "body", `field "containers" is missing`, "")
	case rep.Unchanged != "" && rep.Complete(&o.kept) || rep.Unchanged == "" && o.keeps:
		o.kept, answer.Kept = rep, rep.Digest
	}
	o.mu.Unlock()
	if hold != nil {
		<-hold
	}
	if p2 != nil {
		no(w, p2)
		return
	}
	reply(w, answer)
}

func (o *orchestrator) assignment(w http.ResponseWriter, r *http.Request) {
	if o.answers != nil {
		o.answers(w, r)
		return
	}
	o.mu.Lock()
	a := o.assigned
	o.assigned = nil
	if o.protocol >= host.ProtocolSessions && o.ask != nil {
		if a == nil {
			a = &host.Assignment{}
		}
		a.Session, o.ask = o.ask, nil
	}
	o.mu.Unlock()
	if a == nil {
		select {
		case <-time.After(50 * time.Millisecond):
		case <-r.Context().Done():
		}
		w.WriteHeader(http.StatusNoContent)
		return
	}
	reply(w, a)
}

func (o *orchestrator) sessions(w http.ResponseWriter, r *http.Request) {
	if o.protocol >= host.ProtocolSessions {
		o.t.Error("sessions are asked for apart, though they come with the assignment")
	}
	o.mu.Lock()
	q := o.ask
	o.ask = nil
	o.mu.Unlock()
	if q == nil {
		time.Sleep(20 * time.Millisecond)
		w.WriteHeader(http.StatusNoContent)
		return
	}
	reply(w, q)
}

func (o *orchestrator) session(w http.ResponseWriter, r *http.Request) {
	c, err := websocket.Accept(w, r, nil)
	if err != nil {
		o.t.Error(err)
		return
	}
	o.ws <- c
	<-r.Context().Done()
}

func (o *orchestrator) count() int { o.mu.Lock(); defer o.mu.Unlock(); return len(o.reports) }

func (o *orchestrator) join() *boot.Join {
	return &boot.Join{Cluster: string(clusterID), Endpoints: []string{o.addr}, CAPin: o.trust.Pin, Token: "hn1.token"}
}

// talk asks for a session and speaks the orchestrator's side of it.
func (o *orchestrator) talk(t *testing.T, req host.SessionRequest, stdin string) (out, errOut string, exit host.Exit) {
	t.Helper()
	o.mu.Lock()
	o.ask = &req
	o.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	var ws *websocket.Conn
	select {
	case ws = <-o.ws:
	case <-ctx.Done():
		t.Fatal("the agent did not dial back")
	}
	defer ws.CloseNow()
	ws.SetReadLimit(host.MaxFrame + 1)
	var feeder sync.WaitGroup
	defer feeder.Wait()
	feeder.Go(func() {
		for s := stdin; len(s) > 0; {
			n := min(len(s), host.MaxFrame)
			if ws.Write(ctx, websocket.MessageBinary, host.Frame(host.ChanStdin, []byte(s[:n]))) != nil {
				return
			}
			s = s[n:]
		}
		ws.Write(ctx, websocket.MessageBinary, host.Frame(host.ChanStdin, nil))
	})
	for {
		_, msg, err := ws.Read(ctx)
		if err != nil {
			t.Fatalf("the session broke off: %v", err)
		}
		c, p, err := host.ParseFrame(msg)
		if err != nil {
			t.Fatal(err)
		}
		switch c {
		case host.ChanStdout:
			out += string(p)
		case host.ChanStderr:
			errOut += string(p)
		case host.ChanExit:
			if err := json.Unmarshal(p, &exit); err != nil {
				t.Fatal(err)
			}
			return out, errOut, exit
		}
	}
}
