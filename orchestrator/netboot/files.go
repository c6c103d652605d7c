package main

import (
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strings"

	"hardnode.dev/internal/logging"
)

// files serves what is asked for by HTTP, and says whose file did not come to its end.
func files(log *slog.Logger, c content) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		log.Info("http", logging.Addr, r.RemoteAddr, "method", r.Method, "path", r.URL.Path)
		from, _, err := net.SplitHostPort(r.RemoteAddr)
		if err != nil {
			from = r.RemoteAddr
		}
		sent := &counted{ResponseWriter: w}
		c.files.ServeHTTP(sent, r)
		c.troubles.Over("tftp of " + from) // it got on
		var whole int64
		fmt.Sscan(w.Header().Get("Content-Length"), &whole)
		what := "http of " + from
		switch {
		case r.Method != http.MethodGet || whole == 0:
		case sent.n < whole:
			c.troubles.Is(what, fmt.Sprintf("%s was cut off at byte %d of %d: the machine went away, or the network between. It asks "+
				"anew by itself", r.URL.Path, sent.n, whole))
		default:
			c.troubles.Over(what)
		}
	})
}

// counted counts the bytes of an answer.
type counted struct {
	http.ResponseWriter
	n int64
}

func (c *counted) Write(p []byte) (int, error) {
	n, err := c.ResponseWriter.Write(p)
	c.n += int64(n)
	return n, err
}

// ReadFrom lets the kernel copy a file to the connection, where it can.
func (c *counted) ReadFrom(r io.Reader) (int64, error) {
	n, err := io.Copy(c.ResponseWriter, r)
	c.n += n
	return n, err
}

// tree serves a folder's files, and no lists of them.
func tree(folder string) http.Handler {
	files := http.FileServer(http.Dir(folder))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/") || strings.Contains(r.URL.Path, "/.") {
			http.NotFound(w, r)
			return
		}
		files.ServeHTTP(w, r)
	})
}

// boots leads all machines of those cards to the one folder that there is; nil is all cards.
func boots(only []string) func(string) (string, string) {
	return func(card string) (folder, why string) {
		if only != nil && !slices.Contains(only, card) {
			return "", "it is none of the cards that are answered"
		}
		return "", ""
	}
}
