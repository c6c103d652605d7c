package main

import (
	"context"
	"io"
	"path/filepath"

	"hardnode.dev/internal/wire/front"
	"hardnode.dev/orchestrator/resolver/accesslog"
	"hardnode.dev/orchestrator/resolver/sites"
)

// accessDir is where access logs are kept, in the directory of data.
const accessDir = "access"

// logged tells whether an access log is of an environment that there is; what is of others goes. Without routes nobody knows.
func logged(book *sites.Book, name string) bool {
	t := book.Table()
	if t == nil {
		return true
	}
	for _, s := range t.Sites() {
		if front.LogName(s.Env, s.Since) == name {
			return true
		}
	}
	return false
}

// readLog writes an access log to out. Who follows it is gone when in ends.
func readLog(ctx context.Context, in io.Reader, out io.Writer, data, name string, tail int, follow bool) error {
	ctx, end := context.WithCancel(ctx)
	defer end()
	if follow {
		go func() {
			io.Copy(io.Discard, in)
			end()
		}()
	}
	return accesslog.Read(ctx, out, filepath.Join(data, accessDir), name, tail, follow)
}
