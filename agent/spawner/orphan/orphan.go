// Package orphan finds out how a process ended that a predecessor of this spawner was the parent of.
//
// Owns: the question to init, which is the parent of what a spawner leaves behind, and how long it is asked.
// In: the number of a process that has ended.
// Out: its exit code, if init knows it.
// Never: waits for a process, or needs an HTTP client: PID 1 speaks the few lines of HTTP that are here too.
package orphan

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"time"

	"hardnode.dev/internal/wire/boot"
)

// patience is how long init may take to reap a process that has ended.
const patience = 2 * time.Second

// Exit is how the process ended, as init on its socket has it: 128+n after signal n. known is false when init does not know it in time.
func Exit(socket string, pid int) (code int, known bool) {
	for end := time.Now().Add(patience); ; {
		code, known, err := ask(socket, pid)
		if known || err != nil || time.Now().After(end) {
			return code, known
		}
		<-time.After(20 * time.Millisecond)
	}
}

// ask asks once. An error is that init does not answer.
func ask(socket string, pid int) (code int, known bool, err error) {
	c, err := net.DialTimeout("unix", socket, patience)
	if err != nil {
		return 0, false, err
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(patience))
	if _, err := fmt.Fprintf(c, "GET %s%d HTTP/1.1\r\nHost: init\r\n\r\n", boot.PathEnded, pid); err != nil {
		return 0, false, err
	}
	raw, err := io.ReadAll(io.LimitReader(c, 8<<10))
	if err != nil {
		return 0, false, err
	}
	head, body, _ := bytes.Cut(raw, []byte("\r\n\r\n"))
	if !bytes.HasPrefix(head, []byte("HTTP/1.1 200 ")) {
		return 0, false, nil
	}
	var e boot.Ended
	err = json.Unmarshal(body, &e)
	return e.Code, err == nil, err
}
