package cgroup

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Thaw has what was frozen go on (cgroup.freeze). No cgroup is no error.
func Thaw(dir string) error {
	if err := Write(filepath.Join(dir, "cgroup.freeze"), "0"); err != nil && !Gone(err) {
		return fmt.Errorf("thaw %q: %w", dir, err)
	}
	return nil
}

// ThawAll has whatever is frozen in the cgroups directly in parent go on: who froze one may have been killed, and who would have had it go
// on with it. What a container froze in its own part stays as it is. No parent is no error.
func ThawAll(parent string) error {
	found, err := filepath.Glob(filepath.Join(parent, "*", "cgroup.freeze"))
	if err != nil {
		return fmt.Errorf("list cgroups: %w", err)
	}
	for _, path := range found {
		if b, err := os.ReadFile(path); err == nil && strings.TrimSpace(string(b)) == "1" {
			if err := Thaw(filepath.Dir(path)); err != nil {
				return err
			}
		}
	}
	return nil
}
