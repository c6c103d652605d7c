package debian

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// aptState is what apt's answers depend on: package lists, sources, preferences, what is installed (apt(8), FILES).
var aptState = []string{"/var/lib/apt/lists/*", "/etc/apt/*", "/etc/apt/*.d/*", "/var/lib/dpkg/status", "/var/lib/dpkg/arch"}

// lookUp is output for questions to apt. Its answer is kept below Cache until apt's own state changes: apt takes seconds to read that
// state anew each time, which a build that has nothing to do must not cost.
func (a Archive) lookUp(ctx context.Context, name string, args ...string) ([]byte, error) {
	dir := filepath.Join(a.Cache, "apt-answers")
	state := aptState
	if a.own != "" {
		state = append(slices.Clone(state), filepath.Join(a.own, "*"), filepath.Join(a.own, "lists", "*"))
	}
	file := filepath.Join(dir, question(stateOf(state), name, args))
	if raw, err := os.ReadFile(file); err == nil {
		return raw, nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("make the cache of apt's answers: %v", err)
	}
	empty, err := os.MkdirTemp(dir, "ask-") // `apt-get download --print-uris` says nothing of a file that lies in its working directory
	if err != nil {
		return nil, fmt.Errorf("make the cache of apt's answers: %v", err)
	}
	defer os.RemoveAll(empty)
	out, err := a.apt(ctx, empty, name, args...)
	if err != nil {
		return nil, err
	}
	tmp := filepath.Join(empty, "answer")
	if err := os.WriteFile(tmp, out, 0o644); err != nil {
		return nil, fmt.Errorf("keep apt's answer: %v", err)
	}
	if err := os.Rename(tmp, file); err != nil {
		return nil, fmt.Errorf("keep apt's answer: %v", err)
	}
	return out, nil
}

// stateOf is size and time of every file the patterns match, as text.
func stateOf(patterns []string) string {
	var b strings.Builder
	for _, p := range patterns {
		list, _ := filepath.Glob(p) // the patterns are well formed
		for _, f := range list {
			if st, err := os.Stat(f); err == nil && st.Mode().IsRegular() {
				fmt.Fprintf(&b, "%s %d %d\n", f, st.Size(), st.ModTime().UnixNano())
			}
		}
	}
	return b.String()
}

// question names the answer's file.
func question(state, name string, args []string) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s\n%s\n%q", state, name, args))
	return hex.EncodeToString(sum[:16])
}
