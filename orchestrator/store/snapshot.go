package store

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"hardnode.dev/internal/build"
	"hardnode.dev/internal/keep"
	"hardnode.dev/internal/logging"
	"hardnode.dev/internal/wire/neighbour"
)

// Snapshot is a file with everything that was stored at one moment: a line of JSON that says what it is, one for each key, and one with the
// SHA-256 of all lines before it.
type Snapshot struct {
	Version int       `json:"version"` // of this form: 1
	Program string    `json:"program"` // that made it
	At      time.Time `json:"at"`
	Reason  string    `json:"reason"`
	Path    string    `json:"-"`
}

// saved is one key of a snapshot, or its end.
type saved struct {
	Key   string `json:"key,omitempty"`
	Value []byte `json:"value,omitempty"`
	Sum   string `json:"sum,omitempty"` // of the lines before the last one
}

// Snapshots that are kept, the newest ones; how old one may be to be restored without a person's word; keys that are read at once.
const (
	keptSnapshots = 5
	restorable    = 3 * time.Hour
	pageKeys      = 500
	everything    = "/hardnode/"
	snapshotEnd   = ".snapshot"
)

// program is what this program calls itself in a snapshot.
var program = build.Version + " " + build.Time

// Snapshot writes all that is stored now into a file in dir, which it makes when it is absent. Older snapshots there than the newest few
// are removed.
func (s *Store) Snapshot(ctx context.Context, dir, reason string, now time.Time) (err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("make the folder of snapshots: %v", err)
	}
	head := Snapshot{Version: 1, Program: program, At: now.UTC(), Reason: reason}
	path := filepath.Join(dir, fmt.Sprintf("%020d%s", now.UnixNano(), snapshotEnd))
	f, err := os.OpenFile(path+".new", os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("make a snapshot: %v", err)
	}
	defer os.Remove(path + ".new")
	out := bufio.NewWriterSize(f, 1<<20)
	sum := sha256.New()
	lines := json.NewEncoder(io.MultiWriter(out, sum))
	err = lines.Encode(head)
	for from, rev := everything, int64(0); err == nil && from != ""; {
		if err = ctx.Err(); err != nil { // the member might answer all the same
			break
		}
		var got *clientv3.GetResponse
		got, err = s.m.Get(ctx, from, clientv3.WithRange(clientv3.GetPrefixRangeEnd(everything)), clientv3.WithLimit(pageKeys),
			clientv3.WithRev(rev), clientv3.WithSort(clientv3.SortByKey, clientv3.SortAscend))
		if from = ""; err != nil {
			break
		}
		rev = got.Header.Revision
		for _, kv := range got.Kvs {
			err = errors.Join(err, lines.Encode(saved{Key: string(kv.Key), Value: kv.Value}))
		}
		if got.More {
			from = string(got.Kvs[len(got.Kvs)-1].Key) + "\x00"
		}
	}
	if err == nil {
		err = json.NewEncoder(out).Encode(saved{Sum: hex.EncodeToString(sum.Sum(nil))})
	}
	if err = errors.Join(err, out.Flush(), f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("write snapshot %q: %w", path, err)
	}
	if err := errors.Join(os.Rename(path+".new", path), keep.SyncDir(dir)); err != nil {
		return fmt.Errorf("keep snapshot %q: %v", path, err)
	}
	list := Snapshots(dir)
	for _, old := range list[min(keptSnapshots, len(list)):] {
		os.Remove(old.Path) // what stays is one more
	}
	return nil
}

// Snapshots are those in dir, the newest first; what can't be read is none.
func Snapshots(dir string) (out []Snapshot) {
	names, _ := filepath.Glob(filepath.Join(dir, "*"+snapshotEnd))
	slices.Sort(names)
	slices.Reverse(names)
	for _, path := range names {
		f, err := os.Open(path)
		if err != nil {
			continue
		}
		head := Snapshot{Path: path}
		line, err := bufio.NewReader(io.LimitReader(f, 1<<20)).ReadBytes('\n')
		f.Close()
		if err == nil && neighbour.Decode(line, &head) == nil && head.Version == 1 {
			out = append(out, head)
		}
	}
	return out
}

// Recover opens a store as Open does. One that a later program has made its own, as a version of the orchestrator that did not stay may
// have, is set aside beside it, as NAME.newer; in its place comes the snapshot that this very program made before that, if that is not
// older than a version's trial lasts. What was written since is lost.
func Recover(ctx context.Context, o Options, dir string, now time.Time) (*Store, error) {
	return recover1(ctx, o, dir, now, upgrades)
}

func recover1(ctx context.Context, o Options, dir string, now time.Time, list []upgrade) (*Store, error) {
	if err := finish(o.Dir); err != nil {
		return nil, err
	}
	s, err := open(ctx, o, list)
	if !errors.Is(err, ErrNewer) {
		return s, err
	}
	snapshots := Snapshots(dir)
	i := slices.IndexFunc(snapshots, func(x Snapshot) bool { return x.Program == program && now.Sub(x.At).Abs() <= restorable })
	if i < 0 {
		return nil, err
	}
	logging.Or(o.Log).Warn("the store is set aside, and the snapshot of before takes its place", logging.Reason, err.Error(),
		"snapshot", snapshots[i].Path, "made", snapshots[i].At, "aside", o.Dir+".newer")
	if rerr := restore(ctx, o, snapshots[i].Path); rerr != nil {
		return nil, errors.Join(err, rerr)
	}
	return open(ctx, o, list)
}

// finish ends a restore that was killed between its two renames.
func finish(dir string) error {
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if _, err := os.Stat(dir + ".restored"); err != nil {
		return nil
	}
	return errors.Join(os.Rename(dir+".restored", dir), keep.SyncDir(filepath.Dir(dir)))
}

// restore has a snapshot's content take a store's place. Killed anywhere, there is the store of before or the restored one, whole.
func restore(ctx context.Context, o Options, path string) error {
	made, dir := o, filepath.Clean(o.Dir)
	made.Dir = dir + ".restoring"
	for _, left := range []string{made.Dir, dir + ".restored"} {
		if err := os.RemoveAll(left); err != nil {
			return fmt.Errorf("restore the store: %v", err)
		}
	}
	m, err := startMember(ctx, made)
	if err != nil {
		return err
	}
	err = readSnapshot(path, func(e saved) error {
		_, err := m.Put(ctx, e.Key, string(e.Value))
		return err
	})
	m.close()
	if err != nil {
		return fmt.Errorf("restore snapshot %q: %w", path, err)
	}
	if err := errors.Join(os.Rename(made.Dir, dir+".restored"), os.RemoveAll(dir+".newer"), os.Rename(dir, dir+".newer"),
		keep.SyncDir(filepath.Dir(dir))); err != nil {
		return fmt.Errorf("restore the store: %v", err)
	}
	return finish(dir)
}

// readSnapshot gives all keys of a snapshot that is whole.
func readSnapshot(path string, each func(saved) error) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := scan(f, sha256.New(), func(saved) error { return nil }); err != nil { // before anything is done with it
		return err
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return err
	}
	return scan(f, sha256.New(), each)
}

func scan(r io.Reader, sum hash.Hash, each func(saved) error) error {
	in := bufio.NewReaderSize(r, 1<<20)
	for n := 0; ; n++ {
		line, err := in.ReadBytes('\n')
		if err != nil {
			return errors.New("it is cut off")
		}
		var e saved
		if n > 0 {
			if err := json.Unmarshal(bytes.TrimSpace(line), &e); err != nil {
				return fmt.Errorf("line %d: %v", n+1, err)
			}
		}
		switch {
		case e.Sum != "" && e.Sum == hex.EncodeToString(sum.Sum(nil)):
			return nil
		case e.Sum != "" || n > 0 && !strings.HasPrefix(e.Key, everything):
			return fmt.Errorf("line %d: it is damaged", n+1)
		case n > 0:
			if err := each(e); err != nil {
				return err
			}
		}
		sum.Write(line)
	}
}
