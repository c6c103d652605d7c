package backup

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"filippo.io/age"

	"hardnode.dev/internal/backup/sealed"
	"hardnode.dev/internal/disk/btrfs/stream"
)

// Key reads what was encrypted for its recipient.
type Key = age.Identity

// NewKey writes a new key of age to a file that must not be there, and is its recipient.
func NewKey(path string) (recipient string, err error) {
	k, err := age.GenerateX25519Identity()
	if err != nil {
		return "", err
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return "", fmt.Errorf("make a key: %w", err)
	}
	_, err = fmt.Fprintf(f, "# for backups; their recipient is %s\n# Whoever has this file can read them. Without it nobody can.\n%s\n",
		k.Recipient(), k)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		os.Remove(path)
		return "", fmt.Errorf("make a key: %w", err)
	}
	return k.Recipient().String(), nil
}

// Keys reads a file of keys of age.
func Keys(path string) ([]Key, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read the key: %w", err)
	}
	defer f.Close()
	keys, err := age.ParseIdentities(io.LimitReader(f, 1<<20))
	if err != nil {
		return nil, fmt.Errorf("read the key %q: %v: want a file of hnctl node backup key, or of age-keygen", path, err)
	}
	return keys, nil
}

// Decrypt is a backup's streams. What was cut off or changed is an error before the end.
func Decrypt(ctx context.Context, p Place, m Manifest, keys []Key) (io.Reader, error) {
	chunks := chunkReader{ctx: ctx, p: p, m: &m}
	out, err := sealed.Open(chunks.next, m.Compressed, keys...)
	if none := (*age.NoIdentityMatchError)(nil); errors.As(err, &none) {
		return nil, fmt.Errorf("backup %s of node %s: no key that was given is the one of its recipient %s: without that key nobody can "+
			"read it, and there is no other way in", m.ID, m.Node, m.Recipient)
	}
	if err != nil {
		return nil, fmt.Errorf("decrypt backup %s of node %s: %w", m.ID, m.Node, err)
	}
	return out, nil
}

// Verify reads a backup back: all chunks, and with keys all that is in them.
func Verify(ctx context.Context, p Place, m Manifest, keys []Key) error {
	if keys == nil {
		chunks := chunkReader{ctx: ctx, p: p, m: &m}
		for {
			if _, err := chunks.next(); errors.Is(err, io.EOF) {
				return nil
			} else if err != nil {
				return err
			}
		}
	}
	plain, err := Decrypt(ctx, p, m, keys)
	if err != nil {
		return err
	}
	in := bufio.NewReaderSize(plain, 256<<10)
	for _, part := range m.Parts {
		is, from, err := stream.Check(ctx, in)
		if err == nil && (is != part.Is || from != part.From) {
			err = fmt.Errorf("holds %s instead of %s", is.UUID, part.Is.UUID)
		}
		if err != nil {
			return fmt.Errorf("backup %s of node %s: part %q: %w", m.ID, m.Node, part.Volume, err)
		}
	}
	if _, err := in.ReadByte(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("backup %s of node %s: has something behind its end: %v", m.ID, m.Node, err)
	}
	return nil
}
