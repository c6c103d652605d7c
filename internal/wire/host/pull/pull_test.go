package pull

import (
	"net/http"
	"strings"
	"testing"

	"hardnode.dev/internal/wire"
)

func TestNewImageRequest(t *testing.T) {
	if _, err := NewImageRequest("a:1", "sha256:../../etc", 0); err == nil {
		t.Error("a bad digest was accepted")
	}
	d := "sha256:" + strings.Repeat("0a", 32)
	req, err := NewImageRequest("10.77.0.2:7445", wire.Digest(d), 100)
	if err != nil || req.Method != http.MethodGet || req.URL.String() != "https://10.77.0.2:7445/images/"+d {
		t.Fatalf("got %v, error %v", req, err)
	}
	if got := req.Header.Get("Range") + req.Header.Get("If-Range"); got != `bytes=100-"`+d+`"` {
		t.Errorf("got range headers %s", got)
	}
}
