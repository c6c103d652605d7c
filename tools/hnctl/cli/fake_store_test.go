package cli

import (
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
)

// fakeStore is as much of an S3 store as a backup needs, with one bucket. Signatures are looked at where they are made (internal/backup);
// here they must be there.
type fakeStore struct {
	mu   sync.Mutex
	held map[string][]byte
}

func serveStore() (url string, stop func()) {
	s := httptest.NewServer(&fakeStore{held: map[string][]byte{}})
	return s.URL, s.Close
}

func (f *fakeStore) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	refuse := func(status int, code string) {
		w.WriteHeader(status)
		fmt.Fprintf(w, "<Error><Code>%s</Code><Message>no</Message></Error>", code)
	}
	body, err := io.ReadAll(r.Body)
	if err != nil || !strings.HasPrefix(r.Header.Get("Authorization"), "AWS4-HMAC-SHA256 Credential=id/") {
		refuse(http.StatusForbidden, "InvalidAccessKeyId")
		return
	}
	key, ok := strings.CutPrefix(r.URL.Path, "/backups")
	if !ok {
		refuse(http.StatusNotFound, "NoSuchBucket")
		return
	}
	key = strings.TrimPrefix(key, "/")
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case r.Method == http.MethodGet && key == "":
		f.list(w, r.URL.Query().Get("prefix"), r.URL.Query().Get("continuation-token"))
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
func (f *fakeStore) list(w io.Writer, prefix, after string) {
	type content struct{ Key string }
	page := struct {
		XMLName               xml.Name `xml:"ListBucketResult"`
		Contents              []content
		IsTruncated           bool
		NextContinuationToken string
	}{}
	var keys []string
	for k := range f.held {
		if strings.HasPrefix(k, prefix) && k > after {
			keys = append(keys, k)
		}
	}
	slices.Sort(keys)
	page.IsTruncated = len(keys) > 2
	for _, k := range keys[:min(2, len(keys))] {
		page.Contents = append(page.Contents, content{k})
		page.NextContinuationToken = k
	}
	xml.NewEncoder(w).Encode(page)
}
