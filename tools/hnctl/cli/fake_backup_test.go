package cli

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"time"

	"filippo.io/age"
	"github.com/coder/websocket"

	"hardnode.dev/internal/backup/sealed"
	"hardnode.dev/internal/disk/btrfs/stream"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/backup"
	"hardnode.dev/internal/wire/host"
)

// backup sends a backup of a node, whole, whose note says what it was asked to go on from; that of node 102 breaks in the middle,
// and that of node 105, which is one of two segments, unless it is gone on with.
func (f *fake) backup(ctx context.Context, c *websocket.Conn, id wire.CTID, r *http.Request) host.Exit {
	out := channel{ctx, c, host.ChanStdout}
	fail := func(err error) host.Exit { return host.Exit{Code: 125, Error: err.Error()} }
	raw, err := os.ReadFile("../../../internal/disk/btrfs/stream/testdata/v2.stream")
	if err != nil {
		return fail(err)
	}
	is, _, err := stream.Check(ctx, bytes.NewReader(raw))
	if err != nil {
		return fail(err)
	}
	q := r.URL.Query()
	f.mu.Lock()
	f.backups++
	n := f.backups
	f.mu.Unlock()
	head := backup.Head{ID: backup.ID("20261127-10150" + strconv.Itoa(n)), Node: id, Taken: time.Unix(int64(n), 0).UTC(),
		Note:  fmt.Sprintf("base %q of %d parts, snapshot %q", q.Get("base"), len(q["had"]), q.Get("snapshot")),
		Parts: []backup.Part{{Is: is}, {Volume: "data", Is: is}}}
	if base := q.Get("base"); base != "" {
		head.Before, head.Parts[0].From = backup.ID(base), is
	}
	to, err := age.ParseX25519Recipient(q.Get("recipient"))
	if err != nil {
		return fail(err)
	}
	head.Compressed = id == 101 && q.Get("compress") == "true" // others are of an earlier release
	if id == 105 {
		head.ID, head.Parts = "20261127-100000", head.Parts[:1]
		raw = append(raw, make([]byte, sealed.Segment)...)
	}
	send := func(skip backup.Resume) error {
		head.Resumed = skip.Bytes
		line, err := json.Marshal(head)
		if err != nil {
			return err
		}
		w := (&sealed.Writer{To: to, Secret: []byte("secret"), Skip: skip.Bytes, Had: skip.Mark, Compress: head.Compressed,
			Begin: func() error {
				_, err := out.Write(append(line, '\n'))
				return err
			}}).Out(out)
		for range head.Parts {
			if _, err := w.Write(raw); err != nil {
				return err
			}
		}
		if id == 102 || id == 105 && skip.Bytes == 0 {
			return fmt.Errorf("container %s: its disk can't be read", id)
		}
		return w.Close()
	}
	var skip backup.Resume
	if s := q.Get("resume"); s != "" {
		if skip, err = backup.ParseResume(s); err != nil {
			return fail(err)
		}
	}
	if err := send(skip); err != nil {
		return fail(err)
	}
	return host.Exit{}
}

// takeBack looks at each stream, and names the first snapshot of node 101.
func (f *fake) takeBack(ctx context.Context, c *websocket.Conn, r *http.Request) host.Exit {
	fail := func(err error) host.Exit { return host.Exit{Code: 125, Error: err.Error()} }
	in := bufio.NewReader(stdin(ctx, c))
	var head backup.Head
	n, _ := strconv.Atoi(r.URL.Query().Get("backups"))
	for range n {
		line, err := in.ReadBytes('\n')
		if err == nil {
			err = json.Unmarshal(line, &head)
		}
		if err != nil {
			return fail(err)
		}
		for range head.Parts {
			if _, _, err := stream.Check(ctx, in); err != nil {
				return fail(err)
			}
		}
	}
	if rest, _ := io.ReadAll(in); len(rest) > 0 {
		return fail(fmt.Errorf("%d bytes too many", len(rest)))
	}
	raw, _ := json.Marshal(backup.Taken{Snapshot: "20261127-100000"})
	io.WriteString(channel{ctx, c, host.ChanStdout}, string(raw)+"\n")
	return host.Exit{}
}
