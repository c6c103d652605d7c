package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"strconv"
	"strings"

	"hardnode.dev/internal/backup"
	"hardnode.dev/internal/backup/far"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/tools/hnctl/app"
	"hardnode.dev/tools/hnctl/session"
)

// places tells of PLACE.
const places = "PLACE is a directory of this machine, or host:NAME, another user host of the cluster (which needs scope platform), or\n" +
	"s3://BUCKET/PREFIX: then AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY say who asks, AWS_ENDPOINT_URL which store if it is not\n" +
	"Amazon's, and AWS_REGION where."

const onHost = "host:"

// openPlace opens the place that a person names; done closes it. change: something is put there or deleted.
func openPlace(a *app.App, name string, change bool) (p backup.Place, done func(), err error) {
	of, is := strings.CutPrefix(name, onHost)
	if !is {
		if p, err = backup.Open(name, os.Getenv); err != nil {
			return nil, nil, app.WithCode(app.ExitUsage, err)
		}
		return p, func() {}, nil
	}
	if err := wire.Label("host", of, 63); err != nil {
		return nil, nil, app.WithCode(app.ExitUsage, fmt.Errorf("place %q: %v; want host:NAME: hnctl host list has the names", name, err))
	}
	what := "host " + of
	f := &far.Place{Of: what, Dial: func(ctx context.Context) (io.ReadWriteCloser, error) {
		return dialPlace(ctx, a, of, url.Values{"change": {strconv.FormatBool(change)}})
	}}
	return f, f.Close, nil
}

// mayKeep asks a place that is a host whether it keeps backups of a node, before one is made.
func mayKeep(ctx context.Context, p backup.Place, id wire.CTID) error {
	if f, is := p.(*far.Place); is {
		return f.May(ctx, id)
	}
	return nil
}

// sayRoom says how much a place that is a host keeps.
func sayRoom(ctx context.Context, a *app.App, p backup.Place) error {
	f, is := p.(*far.Place)
	if !is {
		return nil
	}
	r, err := f.Room(ctx)
	if err == nil {
		a.Say("%s keeps %s of other hosts' backups, and at most %s", f.Of, amount(r.Used), amount(r.Limit))
	}
	return err
}

// dialPlace opens a session for the backups that a host keeps. What the API has against it is far.ErrRefused, unless it may pass by.
func dialPlace(ctx context.Context, a *app.App, of string, q url.Values) (io.ReadWriteCloser, error) {
	c, err := a.API()
	if err != nil {
		return nil, errors.Join(far.ErrRefused, err)
	}
	conn, err := c.Dial(ctx, operator.Prefix+"/hosts/"+url.PathEscape(of)+"/backups", q)
	if p := (*operator.Problem)(nil); errors.As(err, &p) && p.Code != operator.Unavailable {
		return nil, &refusal{p}
	}
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	in, toHost := io.Pipe()
	fromHost, out := io.Pipe()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		exit, err := session.Run(ctx, conn, session.IO{In: in, Out: out, Err: a.Talk})
		switch {
		case err != nil:
		case exit.Broken: // its agent may come up again
			err = errors.New(exit.Error)
		case exit.Error != "":
			err = fmt.Errorf("%w: %s", far.ErrRefused, exit.Error)
		default:
			err = io.EOF
		}
		out.CloseWithError(err)
		in.CloseWithError(err)
	}()
	return &placeSession{toHost, fromHost, cancel, ended}, nil
}

// refusal is a Problem that ends the asking.
type refusal struct{ *operator.Problem }

// Is tells of far.ErrRefused.
func (r *refusal) Is(target error) bool { return target == far.ErrRefused }

func (r *refusal) Unwrap() error { return r.Problem }

// placeSession is one session's stdin and stdout.
type placeSession struct {
	*io.PipeWriter
	from   *io.PipeReader
	cancel context.CancelFunc
	ended  chan struct{}
}

func (s *placeSession) Read(b []byte) (int, error) { return s.from.Read(b) }

func (s *placeSession) Close() error {
	s.PipeWriter.Close()
	s.from.Close()
	s.cancel()
	<-s.ended
	return nil
}
