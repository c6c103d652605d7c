package desired

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"hardnode.dev/internal/logging"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/boot"
	"hardnode.dev/internal/wire/host"
)

// ImportBundle makes the Day-0 bundle's first Work this host's work, once: a host that has any work keeps it. Images without a digest
// are taken by name from the boot medium's index in imageDir, with its process where the bundle names none. The bundle's file holds
// keys and is deleted when its content is durable. No file is no error.
func (s *Store) ImportBundle(path, imageDir string) error {
	raw, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("import bundle: %v", err)
	}
	if work, _ := s.Work(); work == nil {
		b, err := decodeBundle(raw)
		if err != nil {
			return fmt.Errorf("import bundle %q: %v; make it again with `hnctl cluster init`", path, err)
		}
		index, err := readIndex(imageDir)
		if err != nil {
			return fmt.Errorf("import bundle %q: %v", path, err)
		}
		if err := fillImages(&b.Work, index); err != nil {
			return fmt.Errorf("import bundle %q: %v", path, err)
		}
		if err := b.Work.Validate(); err != nil {
			return fmt.Errorf("import bundle %q: %v", path, err)
		}
		if err := s.Accept(host.Assignment{Work: &b.Work}); err != nil {
			return fmt.Errorf("import bundle %q: %w", path, err)
		}
		s.log.Info("first work imported", logging.Rev, b.Work.Revision, "cluster", b.Cluster, "containers", len(b.Work.Containers))
	}
	if err := os.Remove(path); err != nil {
		return fmt.Errorf("remove imported bundle: %v", err)
	}
	return nil
}

func decodeBundle(raw []byte) (boot.Bundle, error) {
	var b boot.Bundle
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&b); err != nil {
		return b, err
	}
	if dec.More() {
		return b, errors.New("there is more behind the document")
	}
	if b.Version != 1 {
		return b, fmt.Errorf("version %d is not known, want 1", b.Version)
	}
	return b, b.Cluster.Validate()
}

func readIndex(dir string) (map[wire.TemplateName]boot.BundledImage, error) {
	raw, err := os.ReadFile(filepath.Join(dir, "index.json"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read image index: %v", err)
	}
	var list []boot.BundledImage
	if err := json.Unmarshal(raw, &list); err != nil {
		return nil, fmt.Errorf("read image index: %v", err)
	}
	m := make(map[wire.TemplateName]boot.BundledImage, len(list))
	for _, i := range list {
		m[i.Name] = i
	}
	return m, nil
}

// fillImages gives each container without a digest the boot medium's image of that name.
func fillImages(w *host.Work, index map[wire.TemplateName]boot.BundledImage) error {
	for i := range w.Containers {
		c := &w.Containers[i]
		if c.Image.Digest != "" {
			continue
		}
		img, ok := index[c.Image.Name]
		if !ok {
			return fmt.Errorf("container %d: the boot medium carries no image %q", c.CTID, c.Image.Name)
		}
		c.Image = img.Image
		if len(c.Process.Argv) == 0 {
			env := c.Process.Env
			c.Process = img.Process
			if len(env) > 0 {
				c.Process.Env = env
			}
		}
	}
	return nil
}
