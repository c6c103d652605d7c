package main

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"hardnode.dev/internal/logging"
	"hardnode.dev/orchestrator/netboot/trouble"
)

// TestCutOff: a file that does not come to its end is said, until one does; so is TFTP that is blocked, until the machine gets on.
func TestCutOff(t *testing.T) {
	troubles := &trouble.Book{Now: time.Now}
	large := bytes.Repeat([]byte("x"), 32<<20)
	serve := func(w http.ResponseWriter, r *http.Request) {
		http.ServeContent(w, r, "host.initrd", time.Time{}, bytes.NewReader(large))
	}
	s := httptest.NewServer(files(logging.Or(nil), content{troubles: troubles, files: http.HandlerFunc(serve)}))
	defer s.Close()
	get := func(most int64) {
		t.Helper()
		resp, err := http.Get(s.URL + "/1.4.0/host.initrd")
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if _, err := io.CopyN(io.Discard, resp.Body, most); err != nil {
			t.Fatal(err)
		}
	}
	says := func(want ...string) {
		t.Helper()
		var got []string
		for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
			got = nil
			for _, x := range troubles.List() {
				got = append(got, x.What+": "+x.Text)
			}
			ok := len(got) == len(want)
			for i := range want {
				ok = ok && strings.Contains(got[i], want[i])
			}
			if ok {
				return
			}
		}
		t.Fatalf("got %q, want %q", got, want)
	}
	troubles.Is("tftp of 127.0.0.1", "blocked?")
	says("tftp of 127.0.0.1: blocked?")
	get(1 << 10)
	says("http of 127.0.0.1: /1.4.0/host.initrd was cut off at byte ")
	get(int64(len(large)))
	says()
}
