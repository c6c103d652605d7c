package deploy

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math"
	"net/url"
	"os"
	"strings"
	"time"

	"hardnode.dev/agent/jem/contract"
	"hardnode.dev/agent/jem/probe"
	"hardnode.dev/agent/jem/program"
	"hardnode.dev/agent/jem/unpack"
	"hardnode.dev/internal/run"
	"hardnode.dev/internal/wire/form"
	"hardnode.dev/internal/wire/jem"
)

var sumForm = form.New(`^[0-9a-f]{64}$`)

// validURL wants a URL of one of these schemes, with nothing in it that a program's configuration would read as more than a URL.
func validURL(text string, schemes ...string) error {
	u, err := url.Parse(text)
	if err != nil || len(text) > 2000 || strings.ContainsAny(text, " \t\"\\") {
		return errors.New("is no URL")
	}
	for _, s := range schemes {
		if u.Scheme == s && u.Hostname() != "" {
			return nil
		}
	}
	return fmt.Errorf("want %s:// and a host", strings.Join(schemes, ":// or "))
}

// plainURL is a URL without what may be secret in it.
func plainURL(text string) string {
	u, err := url.Parse(text)
	if err != nil || u.Opaque != "" {
		return ""
	}
	u.User, u.RawQuery, u.Fragment = nil, "", ""
	return u.String()
}

// fetcher is the container's own program that fetches: an HTTP client with TLS of our own would make this program, which every host
// carries, a third larger.
func fetcher(root, from string) (cmd program.Command, ok bool) {
	if at := program.Find(root, "curl"); at != "" { // the URL may have a secret in it: it is no argument
		return program.Command{Path: at, Args: []string{"-q", "-fsSL", "--max-redirs", "5", "--proto", "=http,https", "--proto-redir",
			"=http,https", "-K", "-"},
			In: strings.NewReader("url = \"" + from + "\"\n")}, true
	}
	if at := program.Find(root, "wget"); at != "" {
		return program.Command{Path: at, Args: []string{"-q", "-O", "-", from}}, true
	}
	return cmd, false
}

// fetch fetches an archive into a file without a name, as the owner of releases.
func fetch(ctx context.Context, c *contract.Call, from string, as *program.User) (*os.File, error) {
	cmd, ok := fetcher(c.Root, from)
	if !ok {
		return nil, program.Lacks("--url", "curl", "wget")
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	r, w := io.Pipe()
	cmd.Out, cmd.As, cmd.Dir = w, as, "/"
	ended := make(chan error, 1)
	go func() {
		_, err := program.Run(ctx, cmd)
		w.CloseWithError(err)
		ended <- err
	}()
	f, err := unpack.Kept(ctx, c, r)
	cancel()
	r.CloseWithError(errors.New("nobody reads it any more"))
	if failed := <-ended; failed != nil && err != nil {
		var e *jem.Error
		if !errors.As(err, &e) || e.Code != "exhausted" {
			err = &jem.Error{Code: "unavailable", Reason: fmt.Sprintf("fetch %s: %s", plainURL(from), strings.ReplaceAll(failed.Error(),
				from, "the URL")),
				Next: "see whether the container reaches it"}
		}
	}
	return f, err
}

// sameSum checks a file's digest.
func sameSum(f *os.File, want string) error {
	h := sha256.New()
	if _, err := io.Copy(h, io.NewSectionReader(f, 0, math.MaxInt64)); err != nil {
		return err
	}
	if got := hex.EncodeToString(h.Sum(nil)); got != want {
		return &jem.Error{Code: "invalid", Reason: fmt.Sprintf("the archive's sha256 is %s, wanted %s", got, want),
			Next: "see where it comes from"}
	}
	return nil
}

// answersWithin is how long an application may take until it answers.
var answersWithin = 30 * time.Second

// answers waits until a URL answers with less than 400.
func answers(ctx context.Context, at string) error {
	ctx, cancel := context.WithTimeout(ctx, answersWithin)
	defer cancel()
	last := errors.New("there was no answer")
	for {
		code, err := probe.HTTP(ctx, at)
		switch {
		case err == nil && code < 400:
			return nil
		case err == nil:
			last = fmt.Errorf("the answer is %d", code)
		case ctx.Err() == nil:
			last = err
		}
		if !run.Wait(ctx, 250*time.Millisecond) {
			return &jem.Error{Code: "unavailable", Reason: fmt.Sprintf("check %s: %v, for %s", at, last, answersWithin),
				Next: "see the application's log"}
		}
	}
}
