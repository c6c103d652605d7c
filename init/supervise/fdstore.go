package supervise

import (
	"os"
	"strings"
)

// maxStored is how many descriptors one service may leave with init.
const maxStored = 4096

// stored is one descriptor a service left with init for its next start.
type stored struct {
	name string
	file *os.File
}

// fdstore is the descriptors of one service. It is used by the service's owner goroutine only.
type fdstore []stored

// add keeps a descriptor; false when there is no room.
func (s *fdstore) add(name string, f *os.File) bool {
	if len(*s) >= maxStored {
		return false
	}
	*s = append(*s, stored{name, f})
	return true
}

// remove closes every descriptor of that name.
func (s *fdstore) remove(name string) {
	kept := (*s)[:0]
	for _, d := range *s {
		if d.name == name {
			d.file.Close()
			continue
		}
		kept = append(kept, d)
	}
	*s = kept
}

// names is LISTEN_FDNAMES.
func (s fdstore) names() string {
	all := make([]string, len(s))
	for i, d := range s {
		all[i] = d.name
	}
	return strings.Join(all, ":")
}

func (s fdstore) files() []*os.File {
	all := make([]*os.File, len(s))
	for i, d := range s {
		all[i] = d.file
	}
	return all
}
