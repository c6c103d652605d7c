package zram

import (
	"bytes"
	"os/exec"
	"strings"
	"testing"
)

// The head is what mkswap writes, but for the name that it makes up.
func TestHead(t *testing.T) {
	const page, pages = 4096, 1000
	b := head(page, pages)
	want := make([]byte, page)
	want[1024], want[1028], want[1029] = 1, 0xe7, 3 // 999, least byte first
	copy(want[page-10:], "SWAPSPACE2")
	if !bytes.Equal(b, want) {
		t.Errorf("got % x … % x", b[1024:1040], b[page-10:])
	}
	if file, err := exec.LookPath("file"); err == nil {
		cmd := exec.Command(file, "-")
		cmd.Stdin = bytes.NewReader(b)
		if out, err := cmd.Output(); err == nil && !strings.Contains(string(out), "swap file") {
			t.Errorf("file says %s", out)
		}
	}
}
