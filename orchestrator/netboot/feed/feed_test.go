package feed

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"hardnode.dev/internal/run"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/orchestrator/netboot/offer"
)

// orchestrator is one small enough to read.
type orchestrator struct {
	mu    sync.Mutex
	doc   host.Netboot
	files map[wire.Digest]string
	cut   bool // the next file ends in the middle
	asked []string
}

func (o *orchestrator) release(v string) host.NetbootRelease {
	file := func(text string) host.NetbootFile {
		d := wire.DigestOf(sha256.Sum256([]byte(text)))
		o.files[d] = text
		return host.NetbootFile{Digest: d, Bytes: int64(len(text))}
	}
	return host.NetbootRelease{Release: v, Kernel: file("kernel " + v), Initrd: file(strings.Repeat("initrd", 1000) + v),
		Cmdline: file("a=" + v)}
}

func (o *orchestrator) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.asked = append(o.asked, r.URL.Path+" "+r.Header.Get("Range"))
	if r.URL.Path == host.PathNetboot {
		if r.URL.Query().Get("sum") == o.doc.Sum {
			w.WriteHeader(http.StatusNoContent)
			return
		}
		json.NewEncoder(w).Encode(o.doc)
		return
	}
	text := o.files[wire.Digest(strings.TrimPrefix(r.URL.Path, host.PathNetbootFile))]
	if o.cut && len(text) > 100 {
		o.cut = false
		w.Header().Set("Content-Length", "6005")
		w.Write([]byte(text[:100]))
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	}
	http.ServeContent(w, r, "", time.Time{}, strings.NewReader(text))
}

// TestFeed: what the orchestrator says is served once it is here, whatever breaks on the way; without the orchestrator it still is.
func TestFeed(t *testing.T) {
	o := &orchestrator{files: map[wire.Digest]string{}, cut: true}
	o.doc = host.Netboot{Version: 1, Sum: "1", All: true, Config: "c", Release: "1.4.0",
		Releases: []host.NetbootRelease{o.release("1.4.0")}}
	server := httptest.NewTLSServer(o)
	defer server.Close()
	dir := t.TempDir()
	book, err := offer.Open(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	addr := strings.TrimPrefix(server.URL, "https://")
	f := &Feed{Book: book, Orchestrator: []string{"127.0.0.1:1", addr}, Client: server.Client()}
	ctx, stop := context.WithTimeout(t.Context(), time.Minute)
	done := make(chan error, 1)
	go func() { done <- f.Run(ctx) }()
	boots := func(want string) {
		t.Helper()
		for {
			if folder, _ := book.Boots("52:54:00:00:00:01"); folder == want && len(book.Lacking()) == 0 {
				return
			}
			if !run.Wait(ctx, 5*time.Millisecond) {
				t.Fatalf("%q is never served", want)
			}
		}
	}
	boots("1.4.0/")
	o.mu.Lock()
	if log := strings.Join(o.asked, "\n"); !strings.Contains(log, "bytes=100-") {
		t.Errorf("the file that was cut off did not go on:\n%s", log)
	}
	o.doc.Sum, o.doc.Release, o.doc.Releases = "2", "1.5.0", []host.NetbootRelease{o.release("1.5.0")}
	o.mu.Unlock()
	boots("1.5.0/")
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
	server.Close()
	if book, err = offer.Open(dir, nil); err != nil {
		t.Fatal(err)
	}
	if folder, why := book.Boots("52:54:00:00:00:01"); folder != "1.5.0/" {
		t.Errorf("without the orchestrator: %q, %q", folder, why)
	}
}
