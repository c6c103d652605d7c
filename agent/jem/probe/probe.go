// Package probe asks a server whether it answers, in the first words of its protocol.
//
// Owns: those words, and how long an answer may take.
// In: a URL, or an address and the protocol that is spoken there.
// Out: what was answered; an error that says what came instead.
// Never: logs in, sends more than a greeting, or reads more than its answer.
package probe

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// The limits of one question.
const (
	connectWithin = 5 * time.Second
	answerWithin  = 10 * time.Second
)

func dial(ctx context.Context, addr string) (net.Conn, error) {
	c, err := (&net.Dialer{Timeout: connectWithin}).DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	until := time.Now().Add(answerWithin)
	if d, ok := ctx.Deadline(); ok && d.Before(until) {
		until = d
	}
	c.SetDeadline(until)
	return c, nil
}

// HTTP asks by HTTP and reads the status line of the answer (RFC 9112), no more.
func HTTP(ctx context.Context, at string) (code int, err error) {
	u, err := url.Parse(at)
	if err != nil {
		return 0, err
	}
	port := u.Port()
	if port == "" {
		port = "80"
	}
	c, err := dial(ctx, net.JoinHostPort(u.Hostname(), port))
	if err != nil {
		return 0, err
	}
	defer c.Close()
	if _, err := fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: jem\r\nConnection: close\r\n\r\n", u.RequestURI(),
		u.Host); err != nil {
		return 0, err
	}
	line, err := bufio.NewReader(io.LimitReader(c, 1024)).ReadString('\n')
	f := strings.Fields(line)
	if len(f) < 2 || !strings.HasPrefix(f[0], "HTTP/1.") {
		return 0, errors.Join(errors.New("the answer is not HTTP"), err)
	}
	return strconv.Atoi(f[1])
}

// Protocol is what a server speaks first.
type Protocol string

// Those that are known. Of any other it is only asked whether it takes a connection.
const (
	SSH        Protocol = "ssh"
	MariaDB    Protocol = "mariadb"
	PostgreSQL Protocol = "postgresql"
	Redis      Protocol = "redis"
	Any        Protocol = "tcp"
)

// greetings are what is sent, how many bytes of the answer are read, and whether that is one.
var greetings = map[Protocol]struct {
	say  string
	read int
	well func(string) bool
}{
	// RFC 4253 4.2
	SSH: {"", 4, func(a string) bool { return a == "SSH-" }},
	// the server's first packet: length (3), sequence number 0, protocol 10; or 255, an error that it is able to say
	MariaDB: {"", 5, func(a string) bool { return a[3] == 0 && (a[4] == 10 || a[4] == 255) }},
	// SSLRequest (PostgreSQL, message formats): yes, no, or an error message
	PostgreSQL: {"\x00\x00\x00\x08\x04\xd2\x16\x2f", 1, func(a string) bool { return strings.Contains("SNE", a) }},
	// a simple string, or an error such as NOAUTH
	Redis: {"PING\r\n", 1, func(a string) bool { return strings.Contains("+-", a) }},
}

// Greet connects and waits for the protocol's first words.
func Greet(ctx context.Context, addr string, p Protocol) error {
	c, err := dial(ctx, addr)
	if err != nil {
		return err
	}
	defer c.Close()
	g, known := greetings[p]
	if !known {
		return nil
	}
	if _, err := io.WriteString(c, g.say); err != nil {
		return err
	}
	answer := make([]byte, g.read)
	if _, err := io.ReadFull(c, answer); err != nil {
		return fmt.Errorf("it takes connections and says nothing: %w", err)
	}
	if !g.well(string(answer)) {
		return fmt.Errorf("what answers does not speak %s", p)
	}
	return nil
}
