package session

import (
	"context"
	"errors"
	"io"
	"sync"

	"github.com/coder/websocket"

	"hardnode.dev/internal/wire/host"
	frames "hardnode.dev/internal/wire/session"
)

// Bridge carries a session between a person and a host until either ends. Each side is read whatever the other does, as far as windows
// allow, so a slow one ends nothing. A host that breaks off gets an exit frame written in its place, so a person never waits in vain.
func Bridge(ctx context.Context, person, node *websocket.Conn) {
	p := frames.Open(ctx, person, frames.HostEnd, frames.Options{Ping: true})
	defer p.Close()
	n := frames.Open(ctx, node, frames.PersonEnd, frames.Options{Ping: true})
	defer n.Close()
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() { // the person is gone: so is the command
		select {
		case <-p.Done():
			n.Break(errGone)
		case <-n.Done():
		}
	})
	wg.Go(func() { stdin(n, p) })
	wg.Go(func() { resizes(n, p) })
	var outputs sync.WaitGroup
	for _, c := range []host.Channel{host.ChanStdout, host.ChanStderr} {
		outputs.Go(func() { io.Copy(p.Writer(c), n.Reader(c)) })
	}
	outputs.Wait()
	exit, err := n.Exited()
	switch why := context.Cause(ctx); {
	case err == nil:
	case why != nil && !errors.Is(why, context.Canceled):
		exit = host.Exit{Code: 255, Error: why.Error()}
	default:
		exit = host.Exit{Code: 255, Error: "the link to the host broke: not all of the output may be here", Broken: true}
	}
	p.Exit(exit)
	n.Break(errGone)
}

var errGone = errors.New("the person is gone")

// stdin carries what the person sends; a link that broke is no end of stdin.
func stdin(to, from *frames.Link) {
	w := to.Writer(host.ChanStdin)
	if _, err := io.Copy(w, from.Reader(host.ChanStdin)); err == nil {
		w.Close()
	}
}

func resizes(to, from *frames.Link) {
	for {
		select {
		case size := <-from.Resizes():
			to.Resize(size[0], size[1])
		case <-from.Done():
			return
		case <-to.Done():
			return
		}
	}
}
