package orphan

import (
	"bufio"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"testing"
)

// TestExit: init is asked until it has reaped the process.
func TestExit(t *testing.T) {
	path := filepath.Join(t.TempDir(), "init.sock")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	asked := make(chan string, 10)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for n := 0; ; n++ {
			c, err := l.Accept()
			if err != nil {
				return
			}
			line, _ := bufio.NewReader(c).ReadString('\n')
			asked <- strings.TrimSpace(line)
			if n < 2 {
				fmt.Fprint(c, "HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\n{}")
			} else {
				fmt.Fprint(c, "HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n{\"code\": 137}")
			}
			c.Close()
		}
	}()
	if code, known := Exit(path, 4711); !known || code != 137 {
		t.Errorf("got %d, %v; want 137", code, known)
	}
	l.Close()
	<-done
	if len(asked) != 3 || <-asked != "GET /v1/ended/4711 HTTP/1.1" {
		t.Errorf("asked %d times", len(asked))
	}
}
