package debian

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// keyring is Debian's own (package debian-archive-keyring).
const keyring = "/usr/share/keyrings/debian-archive-keyring.gpg"

// Files of an apt configuration of the build's own.
const (
	confFile    = "apt.conf"
	sourcesFile = "debian.sources"
	updatedFile = "updated"
)

// With is the archive with one more component of Debian's, such as non-free-firmware: the same mirrors and suites, but lists of its own
// below the cache. The machine's configuration stays as it is, and what it says of proxies counts. It fails if the lists can't be fetched;
// a mirror without the component is no error: its packages are then unknown.
func (a Archive) With(ctx context.Context, component string) (Archive, error) {
	targets, err := a.lookUp(ctx, "apt-get", "indextargets", "--format", "$(CREATED_BY)|$(ORIGIN)|$(COMPONENT)|$(SITE)|$(RELEASE)")
	if err != nil {
		return Archive{}, fmt.Errorf("list apt's sources: %w", err)
	}
	signed := keyring
	if _, err := os.Stat(signed); err != nil {
		signed = ""
	}
	sources := suites(string(targets), component, signed)
	if sources == "" {
		return Archive{}, errors.New("list apt's sources: none of this machine's is Debian's main: run `apt-get update`")
	}
	own := a
	if own.own, err = filepath.Abs(filepath.Join(a.Cache, "apt-"+component)); err != nil {
		return Archive{}, err
	}
	for name, text := range map[string]string{sourcesFile: sources, confFile: confOf(own.own)} {
		if err := keep(filepath.Join(own.own, name), text); err != nil {
			return Archive{}, fmt.Errorf("write apt's configuration: %w", err)
		}
	}
	for _, dir := range []string{"lists/partial", "cache/archives/partial"} {
		if err := os.MkdirAll(filepath.Join(own.own, dir), 0o755); err != nil {
			return Archive{}, fmt.Errorf("make apt's folders: %w", err)
		}
	}
	mark := filepath.Join(own.own, updatedFile)
	state := question(stateOf(aptState), sources, nil)
	if was, err := os.ReadFile(mark); err == nil && string(was) == state {
		return own, nil
	}
	if a.Log != nil {
		a.Log("fetch the lists of Debian's component %s", component)
	}
	if _, err := own.apt(ctx, "", "apt-get", "update", "-q", "-o", "APT::Update::Error-Mode=any"); err != nil {
		return Archive{}, fmt.Errorf("fetch the lists of component %q: %w", component, err)
	}
	return own, keep(mark, state)
}

// keep writes a file unless it has the text: its time is an input of lookUp.
func keep(path, text string) error {
	if was, err := os.ReadFile(path); err == nil && string(was) == text {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, []byte(text), 0o644)
}

// confOf is apt.conf(5) for a folder. It comes on top of the machine's own.
func confOf(dir string) string {
	return fmt.Sprintf(`Dir::Etc::sourcelist "%[1]s/%[2]s";
Dir::Etc::sourceparts "/dev/null";
Dir::State::lists "%[1]s/lists";
Dir::Cache "%[1]s/cache";
APT::Sandbox::User "root";
`, dir, sourcesFile)
}

// suites is a sources.list(5) in the form of deb822 with each of Debian's suites that a list of index targets has main of, and the
// component added. Others' archives are left out. "" is none.
func suites(targets, component, keyring string) string {
	var stanzas []string
	for line := range strings.Lines(targets) {
		f := strings.Split(strings.TrimSpace(line), "|")
		if len(f) != 5 || f[0] != "Packages" || f[1] != "Debian" || f[2] != "main" || f[3] == "" || f[4] == "" {
			continue
		}
		s := fmt.Sprintf("Types: deb\nURIs: %s\nSuites: %s\nComponents: main %s\n", f[3], f[4], component)
		if keyring != "" {
			s += "Signed-By: " + keyring + "\n"
		}
		stanzas = append(stanzas, s)
	}
	slices.Sort(stanzas)
	return strings.Join(slices.Compact(stanzas), "\n")
}
