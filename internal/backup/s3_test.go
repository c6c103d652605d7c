package backup

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestSignature: the example of Amazon's documentation ("Signature Calculations for the Authorization Header", GET Object).
func TestSignature(t *testing.T) {
	req, err := http.NewRequest(http.MethodGet, "https://examplebucket.s3.amazonaws.com/test.txt", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Range", "bytes=0-9")
	s := store{region: "us-east-1", id: "AKIAIOSFODNN7EXAMPLE", secret: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"}
	s.sign(req, sha256.Sum256(nil), time.Date(2013, 5, 24, 0, 0, 0, 0, time.UTC))
	const want = "Signature=f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"
	if got := req.Header.Get("Authorization"); !strings.HasSuffix(got, want) {
		t.Errorf("got %s, want %s", got, want)
	}
}

// fake is as much of an S3 store as is needed. It looks at signatures.
type fake struct {
	*testing.T
	bucket string
	mu     sync.Mutex
	held   map[string][]byte
	fails  int // so many calls are answered with 503 first
	calls  int
}

func fakeStore(t *testing.T, at string) Place {
	f := &fake{T: t, bucket: "bucket", held: map[string][]byte{}}
	p, _ := f.place(at)
	return p
}

func (f *fake) place(at string) (*store, *fake) {
	srv := httptest.NewServer(f)
	f.Cleanup(srv.Close)
	p, err := Open("s3://"+f.bucket+"/"+at, func(name string) string {
		return map[string]string{"AWS_ENDPOINT_URL": srv.URL, "AWS_ACCESS_KEY_ID": "id", "AWS_SECRET_ACCESS_KEY": "secret",
			"AWS_SESSION_TOKEN": "token"}[name]
	})
	if err != nil {
		f.Fatal(err)
	}
	s := p.(*store)
	s.pause = time.Millisecond
	return s, f
}

func (f *fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	refuse := func(status int, code string) {
		w.WriteHeader(status)
		fmt.Fprintf(w, "<Error><Code>%s</Code><Message>no</Message></Error>", code)
	}
	body, err := io.ReadAll(r.Body)
	sum := sha256.Sum256(body)
	if f.calls++; f.calls <= f.fails {
		refuse(http.StatusServiceUnavailable, "SlowDown")
		return
	}
	again, _ := http.NewRequest(r.Method, "http://"+r.Host+r.URL.RequestURI(), nil)
	when, _ := time.Parse("20060102T150405Z", r.Header.Get("X-Amz-Date"))
	(&store{region: "us-east-1", id: "id", secret: "secret", token: "token"}).sign(again, sum, when)
	if err != nil || again.Header.Get("Authorization") != r.Header.Get("Authorization") || r.Header.Get("X-Amz-Content-Sha256") !=
		hex.EncodeToString(sum[:]) {
		refuse(http.StatusForbidden, "SignatureDoesNotMatch")
		return
	}
	key, ok := strings.CutPrefix(r.URL.Path, "/"+f.bucket)
	if !ok {
		refuse(http.StatusNotFound, "NoSuchBucket")
		return
	}
	key = strings.TrimPrefix(key, "/")
	switch {
	case r.Method == http.MethodGet && key == "":
		f.list(w, r.URL.Query())
	case r.Method == http.MethodGet && f.held[key] == nil:
		refuse(http.StatusNotFound, "NoSuchKey")
	case r.Method == http.MethodGet:
		w.Write(f.held[key])
	case r.Method == http.MethodPut:
		f.held[key] = body
	case r.Method == http.MethodDelete:
		delete(f.held, key)
		w.WriteHeader(http.StatusNoContent)
	}
}

// list answers two keys a page.
func (f *fake) list(w io.Writer, q url.Values) {
	type content struct{ Key string }
	page := struct {
		XMLName               xml.Name `xml:"ListBucketResult"`
		Contents              []content
		IsTruncated           bool
		NextContinuationToken string
	}{}
	var keys []string
	for k := range f.held {
		if strings.HasPrefix(k, q.Get("prefix")) && k > q.Get("continuation-token") {
			keys = append(keys, k)
		}
	}
	slices.Sort(keys)
	for _, k := range keys[:min(2, len(keys))] {
		page.Contents = append(page.Contents, content{k})
		page.NextContinuationToken = k
	}
	page.IsTruncated = len(keys) > 2
	xml.NewEncoder(w).Encode(page)
}

// TestStore: a store that is slow is asked again, one that refuses says why, and what it answers is bounded.
func TestStore(t *testing.T) {
	p, f := (&fake{T: t, bucket: "bucket", held: map[string][]byte{}, fails: 2}).place("")
	for n := range 5 {
		if err := p.Put(t.Context(), fmt.Sprintf("a/%d", n), bytes.Repeat([]byte("x"), 100)); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := p.List(t.Context(), "a/"); err != nil || len(got) != 5 || got[4] != "a/4" || f.calls != 5+2+3 {
		t.Errorf("listed %q in %d calls, %v", got, f.calls, err)
	}
	if _, err := p.Get(t.Context(), "a/1", 99); err == nil || !strings.Contains(err.Error(), "more than 99 bytes") {
		t.Errorf("got %v", err)
	}
	p.secret = "other"
	if _, err := p.Get(t.Context(), "a/1", 100); err == nil || !strings.Contains(err.Error(), "403 SignatureDoesNotMatch no") {
		t.Errorf("with another secret: %v", err)
	}
	p.secret, p.bucket = "secret", "none"
	if _, err := p.List(t.Context(), "a/"); err == nil || !strings.Contains(err.Error(), "NoSuchBucket") {
		t.Errorf("another bucket: %v", err)
	}
	f.fails, f.calls = 99, 0
	if err := p.Put(t.Context(), "a/9", nil); err == nil || !strings.Contains(err.Error(), "503 SlowDown") || f.calls != tries {
		t.Errorf("after %d calls: %v", f.calls, err)
	}
}
