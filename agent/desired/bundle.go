package desired

import (
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
// are taken by name from the boot medium's index, with its process where the bundle names none. The bundle's file holds keys and is
// deleted when its content is durable. No file is no error.
func (s *Store) ImportBundle(path string) error {
	raw, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("import bundle: %v", err)
	}
	if work, _ := s.Work(); work == nil {
		b, err := boot.DecodeBundle(raw)
		if err != nil {
			return fmt.Errorf("import bundle %q: %v; make it again with `hnctl cluster init`", path, err)
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

// fillImages gives each container without a digest the image it has in old or was confirmed with, if that is the same generation, else the
// boot medium's image of that name. The first work must have all of its images. w's containers are changed in place.
func (s *Store) fillImages(old *host.Work, confirmed map[wire.CTID]host.Container, w *host.Work) error {
	had := map[wire.CTID]host.Container{}
	if old != nil {
		for _, c := range old.Containers {
			had[c.CTID] = c
		}
	}
	for _, c := range w.Containers {
		if last, ok := confirmed[c.CTID]; ok && last.Generation == c.Generation {
			had[c.CTID] = last
		}
	}
	var index map[wire.TemplateName]boot.BundledImage
	for i := range w.Containers {
		c := &w.Containers[i]
		if c.Image.Digest != "" {
			continue
		}
		if o, ok := had[c.CTID]; ok && o.Image.Digest != "" && o.Generation == c.Generation && o.Image.Name == c.Image.Name {
			c.Image = o.Image
			if len(c.Process.Argv) == 0 {
				c.Process = o.Process
			}
			continue
		}
		if index == nil {
			var err error
			if index, err = readIndex(s.images); err != nil {
				return err
			}
		}
		img, ok := index[c.Image.Name]
		if !ok && old != nil {
			continue // an older medium does not have it: that is this one container's trouble
		}
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
	return w.Validate()
}
