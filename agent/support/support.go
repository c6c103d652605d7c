// Package support puts together what somebody who helps needs to see of a host: one archive, without secrets.
//
// Owns: what is in the archive, the bounds of its size and time, and what is taken for a secret.
// In: /proc and /sys below a root, the host's logs, what the agent, init and netd say of themselves, the secrets that are known.
// Out: a tar.gz; the configuration in force without its secrets. What could not be read is said in the archive itself.
// Never: reads a container's environment, command line, files or output, a key, or the bundle of Day 0; waits for a disk that does not
// answer.
package support

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"hardnode.dev/internal/wire/boot"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/upkeep"
)

// The bounds of an archive: its time, that of one file in it, and bytes before they are compressed.
const (
	patience = time.Minute
	fileWait = 5 * time.Second
	maxFile  = 1 << 20
	maxAll   = 16 << 20
)

// Source is where an archive's content comes from. All functions are required; they may fail.
type Source struct {
	Root    string // before every path; "" on a real host
	Version string
	Logs    func(context.Context, host.HostLogsSpec, func(line []byte) error) error
	Status  func(context.Context) any                                        // of the agent
	Gossip  func() any                                                       // what is seen of the other hosts
	Machine func() any                                                       // with its BMC and its sensors
	Ask     func(ctx context.Context, socket, path string) ([]byte, error)   // a document of another program of this host
	Config  func() (c boot.HostConfig, source string, found bool, err error) // in force
	Secrets func() []string                                                  // those that are known, besides the configuration's
	Now     func() time.Time
}

// file is one file of the archive.
type file struct {
	name string
	take func(context.Context) ([]byte, error)
}

// Write writes the archive. It ends within its time, whatever a disk or a program does: what did not answer is left out and said so.
func (s Source) Write(ctx context.Context, w io.Writer) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	gz := gzip.NewWriter(w)
	archive := tar.NewWriter(gz)
	secrets, missing, room := s.known(), []string{}, maxAll
	for _, f := range s.files() {
		raw, err := within(ctx, f.take)
		if err != nil {
			missing = append(missing, f.name+": "+err.Error())
		}
		if len(raw) > maxFile {
			missing = append(missing, fmt.Sprintf("%s: its last %d bytes are here", f.name, maxFile))
			raw = raw[len(raw)-maxFile:]
			raw = raw[bytes.IndexByte(raw, '\n')+1:] // half a line might be half a secret
		}
		raw = Scrub(raw, secrets)
		if len(raw) > room {
			missing = append(missing, f.name+": left out: the archive has no more room")
			continue
		}
		if len(raw) == 0 {
			continue
		}
		room -= len(raw)
		if err := s.add(archive, f.name, raw); err != nil {
			return err
		}
	}
	if len(missing) > 0 {
		text := strings.Join(missing, "\n") + "\n"
		if err := s.add(archive, "missing.txt", Scrub([]byte(text), secrets)); err != nil {
			return err
		}
	}
	if err := errors.Join(archive.Close(), gz.Close()); err != nil {
		return fmt.Errorf("write the support bundle: %w", err)
	}
	return nil
}

func (s Source) add(archive *tar.Writer, name string, raw []byte) error {
	head := &tar.Header{Name: "support/" + name, Mode: 0o600, Size: int64(len(raw)), ModTime: s.Now().UTC().Truncate(time.Second),
		Format: tar.FormatPAX}
	if err := archive.WriteHeader(head); err != nil {
		return fmt.Errorf("write the support bundle: %w", err)
	}
	if _, err := archive.Write(raw); err != nil {
		return fmt.Errorf("write the support bundle: %w", err)
	}
	return nil
}

// within takes a file's content, but waits for it no longer than a file may take. What comes later is dropped.
func within(ctx context.Context, take func(context.Context) ([]byte, error)) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, fileWait)
	defer cancel()
	type taken struct {
		raw []byte
		err error
	}
	done := make(chan taken, 1)
	go func() {
		raw, err := take(ctx)
		done <- taken{raw, err}
	}()
	select {
	case t := <-done:
		return t.raw, t.err
	case <-ctx.Done():
		return nil, errors.New("did not answer in time")
	}
}

// Configuration writes the configuration in force, without its secrets, as JSON of an upkeep.Config.
func (s Source) Configuration(context.Context) ([]byte, error) {
	c, source, found, err := s.Config()
	if err != nil {
		return nil, err
	}
	if !found {
		return nil, errors.New("this host has no configuration yet")
	}
	secrets := append(s.Secrets(), Redact(&c)...)
	inner, err := json.Marshal(c)
	if err != nil {
		return nil, fmt.Errorf("encode the configuration: %v", err)
	}
	raw, err := json.MarshalIndent(upkeep.Config{Source: source, Config: inner}, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("encode the configuration: %v", err)
	}
	return append(Scrub(raw, secrets), '\n'), nil
}

// known are the secrets that are known by their values.
func (s Source) known() []string {
	all := s.Secrets()
	if c, _, found, err := s.Config(); err == nil && found {
		all = append(all, Redact(&c)...)
	}
	return all
}

// readLast reads a file, twice as much of it as the archive takes.
func readLast(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	raw, err := io.ReadAll(io.LimitReader(f, 2*maxFile))
	return bytes.TrimRight(raw, "\x00"), err
}
