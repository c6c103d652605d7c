package system

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"hardnode.dev/internal/logging"
	"hardnode.dev/internal/release/block"
	"hardnode.dev/internal/release/delta"
	"hardnode.dev/internal/release/trust"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/slots"
)

// reserve is left free on DATA for what runs there, in bytes.
const reserve = 64 << 20

// mostWhole is the longest file that is fetched without a block index.
const mostWhole = block.MaxIndex

// progress is how far a fetch is, in bytes of the system, and what came over the network for it.
type progress struct{ here, fetched int64 }

// errSeeded ends the part of a fetch that needs the ESP.
var errSeeded = errors.New("the slots have no more")

// fetch puts the target together on DATA, of what the slots have and what they lack, and gives the file. What a try before left is gone on
// with; tell is called now and then.
func (s *System) fetch(ctx context.Context, c chosen, tell func(progress)) (path string, err error) {
	dir := filepath.Join(s.o.Data, "system")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", fmt.Errorf("make a place for the system: %w", err)
	}
	path = filepath.Join(dir, c.Digest.Hex()+".part")
	if err := tidy(dir, path); err != nil {
		return "", err
	}
	if err := room(dir, path, c.Bytes); err != nil {
		return "", err
	}
	x, p := block.Index{}, progress{}
	if c.index.Path != "" {
		raw, err := whole(ctx, s.o.Get, c.index, block.MaxIndex)
		if err != nil {
			return "", err
		}
		if x, err = block.Decode(raw); err != nil || x.Length != c.Bytes {
			return "", damaged("%s: of %d bytes, the file has %d: %v", c.index.Path, x.Length, c.Bytes, err)
		}
		p.fetched = int64(len(raw))
	} else { // it is small
		raw, err := whole(ctx, s.o.Get, c.uki, mostWhole)
		if err != nil {
			return "", err
		}
		if x, err = block.Make(bytes.NewReader(raw)); err != nil {
			return "", err
		}
	}
	out, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return "", fmt.Errorf("make a place for the system: %w", err)
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	enough := func(context.Context, int64, int) ([]byte, error) { return nil, errSeeded }
	for _, slot := range []slots.Name{slots.A, slots.B} {
		err := s.o.Slots.Read(slot, func(r io.Reader) error {
			stats, err := delta.Fetch(ctx, x, out, []io.Reader{r}, enough)
			p.here = stats.Kept + stats.Seeded
			return err
		})
		if err != nil && !errors.Is(err, errSeeded) {
			s.log.Debug("a slot is no seed", "slot", string(slot), "err", err)
		}
	}
	s.fromPeers(ctx, c, x, out, tell, &p)
	stats, err := delta.Fetch(ctx, x, out, nil, func(ctx context.Context, offset int64, length int) ([]byte, error) {
		tell(p)
		raw, err := ranged(ctx, s.o.Get, c.uki.Digest, offset, length)
		p.here, p.fetched = p.here+int64(len(raw)), p.fetched+int64(len(raw))
		return raw, err
	})
	if err != nil {
		return "", err
	}
	p.here = x.Length
	tell(p)
	s.log.Info("system is here", "release", c.Release, "bytes", x.Length, "fetched", p.fetched, "requests", stats.Asked)
	return path, s.verify(out, c.uki)
}

// perPeer bounds what one host is given to hand over what it has.
const perPeer = 2 * time.Minute

// fromPeers fetches what other hosts have. Whatever goes wrong with one of them costs time alone: every block is compared with the index,
// and what is lacking then comes from the next one, or from the orchestrator.
func (s *System) fromPeers(ctx context.Context, c chosen, x block.Index, out *os.File, tell func(progress), p *progress) {
	if s.o.Peers == nil || c.index.Path == "" || p.here >= x.Length {
		return
	}
	names, from := s.o.Peers(ctx, c.uki.Digest)
	for i, read := range from {
		within, cancel := context.WithTimeout(ctx, perPeer)
		stats, err := delta.Fetch(within, x, out, nil, func(ctx context.Context, offset int64, length int) ([]byte, error) {
			tell(*p)
			raw, err := read(ctx, offset, length)
			p.fetched += int64(len(raw))
			return raw, err
		})
		cancel()
		p.here = min(stats.Kept+stats.Fetched, x.Length)
		if err == nil || ctx.Err() != nil {
			s.log.Info("blocks from another host", "name", names[i], "bytes", stats.Fetched)
			return
		}
		s.log.Warn("blocks from another host", "name", names[i], "bytes", stats.Fetched, logging.Err, err)
	}
}

// verify compares the whole file with what both repositories name.
func (s *System) verify(f *os.File, t trust.Target) error {
	h := sha256.New()
	n, err := io.Copy(h, io.NewSectionReader(f, 0, t.Length+1))
	if err != nil {
		return err
	}
	if err := t.Holds(n, wire.Digest(fmt.Sprintf("sha256:%x", h.Sum(nil)))); err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}

// whole fetches a file of at most most bytes, and compares it with what both repositories name.
func whole(ctx context.Context, get Get, t trust.Target, most int64) ([]byte, error) {
	if t.Length > most {
		return nil, damaged("%s has %d bytes, at most %d are read", t.Path, t.Length, most)
	}
	out := make([]byte, 0, t.Length)
	for int64(len(out)) < t.Length {
		raw, err := ranged(ctx, get, t.Digest, int64(len(out)), int(min(host.MaxRange, t.Length-int64(len(out)))))
		if err != nil {
			return nil, err
		}
		out = append(out, raw...)
	}
	return out, t.Holds(int64(len(out)), wire.DigestOf(sha256.Sum256(out)))
}

// ranged fetches bytes of a file: as many as it asks for.
func ranged(ctx context.Context, get Get, d wire.Digest, offset int64, length int) ([]byte, error) {
	raw, err := get(ctx, fmt.Sprintf("%s%s?offset=%d&length=%d", host.PathReleaseFiles, d, offset, length))
	if err == nil && len(raw) != length {
		err = fmt.Errorf("bytes %d to %d of %s: %d of them came", offset, offset+int64(length), d, len(raw))
	}
	return raw, err
}

// tidy removes what earlier fetches of other systems left.
func tidy(dir, keep string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("list what fetches left: %w", err)
	}
	for _, e := range entries {
		if path := filepath.Join(dir, e.Name()); path != keep {
			err = errors.Join(err, os.Remove(path))
		}
	}
	return err
}

// room refuses a system that does not fit on DATA.
func room(dir, part string, bytes int64) error {
	var fs unix.Statfs_t
	if err := unix.Statfs(dir, &fs); err != nil {
		return fmt.Errorf("look for room for the system: %w", err)
	}
	var st unix.Stat_t
	unix.Stat(part, &st) // none has no blocks
	if free := int64(fs.Bavail) * fs.Bsize; free+st.Blocks*512 < bytes+reserve {
		return fmt.Errorf("the DATA disk has %d MiB free, the system needs %d and %d are kept for containers; delete environments on this "+
			"host or give it a larger disk", free>>20, bytes>>20, int64(reserve)>>20)
	}
	return nil
}
