package assemble

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
)

// stamp remembers the inputs that made some outputs, so that a step with unchanged inputs is skipped.
type stamp struct {
	file    string
	inputs  string   // digest of all that decides the outputs' bytes
	outputs []string // must exist for the stamp to count
}

func (s stamp) fresh() bool {
	was, err := os.ReadFile(s.file)
	if err != nil || string(was) != s.inputs {
		return false
	}
	for _, o := range s.outputs {
		if _, err := os.Stat(o); err != nil {
			return false
		}
	}
	return true
}

func (s stamp) mark() error { return replace(s.file, []byte(s.inputs), 0o644) }

// digest is the SHA-256 of the parts, each with its length before it so that parts can't run together.
func digest(parts ...string) string {
	h := sha256.New()
	for _, p := range parts {
		io.WriteString(h, strconv.Itoa(len(p))+":"+p)
	}
	return hex.EncodeToString(h.Sum(nil))
}

func fileDigest(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", fmt.Errorf("digest: %v", err)
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", fmt.Errorf("digest %q: %v", path, err)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// replace writes a file whole or not at all, and leaves one with the same content untouched (its time is an input elsewhere).
func replace(path string, data []byte, mode os.FileMode) error {
	if was, err := os.ReadFile(path); err == nil && bytes.Equal(was, data) {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("write %q: %v", path, err)
	}
	tmp := path + ".new"
	if err := os.WriteFile(tmp, data, mode); err != nil {
		return fmt.Errorf("write %q: %v", path, err)
	}
	if err := os.Rename(tmp, path); err != nil {
		return fmt.Errorf("write %q: %v", path, err)
	}
	return nil
}

func copyFile(dst, src string, mode os.FileMode) error {
	data, err := os.ReadFile(src)
	if err != nil {
		return fmt.Errorf("copy %q: %v", src, err)
	}
	return replace(dst, data, mode)
}
