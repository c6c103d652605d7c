package releases

import (
	"encoding/json"
	"fmt"

	"hardnode.dev/internal/release/trust"
	"hardnode.dev/internal/wire/operator"
)

// Metadata is a file of a repository's metadata as a host asks for it; false where there is none. It is what was believed here last, but
// who reads it verifies it again.
func (s *Shelf) Metadata(repository, name string) ([]byte, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	raw, ok := s.mu.served[repository+"/"+name]
	return raw, ok
}

// roots are all root documents up to those that were believed: of the import, or kept from the ones before.
func roots(v trust.View, in operator.ReleaseImport, kept map[string][]byte) map[string][]byte {
	out := map[string][]byte{}
	for _, r := range []struct {
		repo  trust.Repo
		files map[string][]byte
	}{{v.Image, in.Image}, {v.Director, in.Director}} {
		for n := int64(1); n <= r.repo.Versions.Root; n++ {
			name := fmt.Sprintf("%d.root.json", n)
			key := string(r.repo.Name) + "/" + name
			if raw, ok := kept[key]; ok {
				out[key] = raw
			} else if raw, ok := r.files[name]; ok && len(raw) <= trust.RootLimit {
				out[key] = raw
			}
		}
	}
	return out
}

// served is the metadata of a record, by repository and name.
func served(r record) map[string][]byte {
	out := map[string][]byte{}
	for key, raw := range r.Roots {
		out[key] = raw
	}
	for name, k := range map[trust.Name]trust.Kept{trust.Image: r.State.Image, trust.Director: r.State.Director} {
		for kind, raw := range map[string][]byte{"root": k.Root, "snapshot": k.Snapshot, "targets": k.Targets} {
			if n := version(raw); n > 0 {
				out[fmt.Sprintf("%s/%d.%s.json", name, n, kind)] = raw
			}
		}
		if k.Timestamp != nil {
			out[string(name)+"/timestamp.json"] = k.Timestamp
		}
	}
	return out
}

// version is that of a metadata document that was believed; 0 if there is none.
func version(raw []byte) int64 {
	var m struct {
		Signed struct {
			Version int64 `json:"version"`
		} `json:"signed"`
	}
	if json.Unmarshal(raw, &m) != nil {
		return 0
	}
	return m.Signed.Version
}
