// Package idptest is an identity provider for tests.
//
// Owns: one client, one person at a time, an RSA key; what it does wrong when it is told to.
// In: requests of browsers and of the orchestrator, by TLS on loopback.
// Out: codes, each good once and with its PKCE verifier; ID tokens signed with RS256, or as a test wants them.
// Never: ships in an image.
package idptest

import (
	"crypto"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"maps"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync"
	"testing"
	"time"
)

// Client and Secret are those of the one client.
const (
	Client = "hardnode"
	Secret = "a secret with : and +"
)

// Provider is one that runs. Change what it does between requests with Do.
type Provider struct {
	URL string // its issuer
	CA  string // PEM of its certificate

	server *httptest.Server
	key    *rsa.PrivateKey
	mu     sync.Mutex
	codes  map[string]code
	is     Is
	asked  map[string]int
}

// Is is what a provider is like at a moment.
type Is struct {
	Claims   map[string]any                         // of whoever signs in: sub, email, email_verified, …
	UserInfo map[string]any                         // nil: there is none
	Change   func(head, claims map[string]any)      // what is wrong with an ID token
	Sign     func(p *Provider, input string) []byte // nil: RS256
	Discover func(says map[string]any)              // what is wrong with its description
	Error    string                                 // it signs nobody in
	Redirect string                                 // the registered one; "": any
	Down     bool
}

type code struct{ challenge, nonce, redirect string }

// Start runs a provider until the test ends.
func Start(t testing.TB) *Provider {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	p := &Provider{key: key, codes: map[string]code{}, asked: map[string]int{}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /.well-known/openid-configuration", p.describe)
	mux.HandleFunc("GET /keys", p.keys)
	mux.HandleFunc("GET /authorize", p.authorize)
	mux.HandleFunc("POST /token", p.token)
	mux.HandleFunc("GET /userinfo", p.userinfo)
	p.server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		is := p.Now()
		p.mu.Lock()
		p.asked[r.URL.Path]++
		p.mu.Unlock()
		if is.Down {
			http.Error(w, "down", http.StatusServiceUnavailable)
			return
		}
		mux.ServeHTTP(w, r)
	}))
	t.Cleanup(p.server.Close)
	p.URL = p.server.URL
	p.CA = string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: p.server.Certificate().Raw}))
	return p
}

// Do changes what the provider is like.
func (p *Provider) Do(is Is) { p.mu.Lock(); defer p.mu.Unlock(); p.is = is }

// Now is what the provider is like.
func (p *Provider) Now() Is { p.mu.Lock(); defer p.mu.Unlock(); return p.is }

// Asked is how often a path was asked for.
func (p *Provider) Asked(path string) int { p.mu.Lock(); defer p.mu.Unlock(); return p.asked[path] }

// Browser is one that knows the provider's certificate, and follows nothing.
func (p *Provider) Browser() *http.Client {
	c := *p.server.Client()
	c.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &c
}

// Visit is where the provider leads a browser that comes to an address of it.
func (p *Provider) Visit(t testing.TB, address string) *url.URL {
	t.Helper()
	resp, err := p.Browser().Get(address)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	to, err := resp.Location()
	if err != nil {
		t.Fatalf("%s: %s: %v", address, resp.Status, err)
	}
	return to
}

func reply(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(v)
}

func (p *Provider) describe(w http.ResponseWriter, _ *http.Request) {
	is := p.Now()
	says := map[string]any{"issuer": p.URL, "authorization_endpoint": p.URL + "/authorize", "token_endpoint": p.URL + "/token",
		"jwks_uri": p.URL + "/keys", "id_token_signing_alg_values_supported": []string{"RS256", "none", "HS256"},
		"code_challenge_methods_supported": []string{"S256"}}
	if is.UserInfo != nil {
		says["userinfo_endpoint"] = p.URL + "/userinfo"
	}
	if is.Discover != nil {
		is.Discover(says)
	}
	reply(w, http.StatusOK, says)
}

// N is the modulus of the provider's key, as its description of the key has it.
func (p *Provider) N() string { return base64.RawURLEncoding.EncodeToString(p.key.N.Bytes()) }

func (p *Provider) keys(w http.ResponseWriter, _ *http.Request) {
	reply(w, http.StatusOK, map[string]any{"keys": []any{map[string]any{"kty": "RSA", "use": "sig", "alg": "RS256", "kid": "1", "n": p.N(),
		"e": base64.RawURLEncoding.EncodeToString(big.NewInt(int64(p.key.E)).Bytes())}}})
}

func (p *Provider) authorize(w http.ResponseWriter, r *http.Request) {
	q, is := r.URL.Query(), p.Now()
	to, err := url.Parse(q.Get("redirect_uri"))
	if err != nil || q.Get("client_id") != Client || q.Get("response_type") != "code" || q.Get("code_challenge_method") != "S256" ||
		len(q.Get("code_challenge")) != 43 || q.Get("state") == "" || q.Get("nonce") == "" || is.Redirect != "" &&
		q.Get("redirect_uri") != is.Redirect {
		http.Error(w, "a wrong request: "+r.URL.RawQuery, http.StatusBadRequest)
		return
	}
	back := url.Values{"state": {q.Get("state")}, "iss": {p.URL}}
	if is.Error != "" {
		back.Set("error", is.Error)
	} else {
		raw := make([]byte, 16)
		rand.Read(raw)
		c := hex.EncodeToString(raw)
		p.mu.Lock()
		p.codes[c] = code{q.Get("code_challenge"), q.Get("nonce"), q.Get("redirect_uri")}
		p.mu.Unlock()
		back.Set("code", c)
	}
	to.RawQuery = back.Encode()
	http.Redirect(w, r, to.String(), http.StatusFound)
}

func (p *Provider) token(w http.ResponseWriter, r *http.Request) {
	id, password, _ := r.BasicAuth()
	id, _ = url.QueryUnescape(id)
	password, _ = url.QueryUnescape(password)
	if id != Client || password != Secret {
		reply(w, http.StatusUnauthorized, map[string]any{"error": "invalid_client"})
		return
	}
	p.mu.Lock()
	c, ok := p.codes[r.PostFormValue("code")]
	delete(p.codes, r.PostFormValue("code"))
	p.mu.Unlock()
	sum := sha256.Sum256([]byte(r.PostFormValue("code_verifier")))
	if !ok || c.redirect != r.PostFormValue("redirect_uri") || c.challenge != base64.RawURLEncoding.EncodeToString(sum[:]) {
		reply(w, http.StatusBadRequest, map[string]any{"error": "invalid_grant"})
		return
	}
	reply(w, http.StatusOK, map[string]any{"access_token": "at", "token_type": "Bearer", "expires_in": 60, "id_token": p.idToken(c.nonce)})
}

func (p *Provider) userinfo(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Authorization") != "Bearer at" {
		http.Error(w, "no", http.StatusUnauthorized)
		return
	}
	reply(w, http.StatusOK, p.Now().UserInfo)
}

func (p *Provider) idToken(nonce string) string {
	is := p.Now()
	head := map[string]any{"alg": "RS256", "kid": "1", "typ": "JWT"}
	claims := map[string]any{"iss": p.URL, "aud": Client, "nonce": nonce, "iat": time.Now().Unix(), "exp": time.Now().Unix() + 300}
	maps.Copy(claims, is.Claims)
	if is.Change != nil {
		is.Change(head, claims)
	}
	input := part(head) + "." + part(claims)
	sign := (*Provider).RS256
	if is.Sign != nil {
		sign = is.Sign
	}
	return input + "." + base64.RawURLEncoding.EncodeToString(sign(p, input))
}

func part(v any) string {
	raw, err := json.Marshal(v)
	if err != nil {
		panic("BUG: " + err.Error())
	}
	return base64.RawURLEncoding.EncodeToString(raw)
}

// RS256 signs with the provider's key.
func (p *Provider) RS256(input string) []byte { return signed(p.key, input) }

// Foreign signs with a key of somebody else.
func (p *Provider) Foreign(input string) []byte {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic("BUG: " + err.Error())
	}
	return signed(key, input)
}

// HS256 signs with what everybody knows, as if it were a shared key (RFC 8725, section 2.1).
func (p *Provider) HS256(input string) []byte {
	m := hmac.New(sha256.New, []byte(p.N()))
	m.Write([]byte(input))
	return m.Sum(nil)
}

// Nothing does not sign.
func (p *Provider) Nothing(string) []byte { return nil }

func signed(key *rsa.PrivateKey, input string) []byte {
	sum := sha256.Sum256([]byte(input))
	out, err := rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, sum[:])
	if err != nil {
		panic("BUG: " + err.Error())
	}
	return out
}
