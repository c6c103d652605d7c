package trust

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"golang.org/x/mod/semver"

	"hardnode.dev/internal/wire"
)

// Agree is the files that both repositories name, with the same length and digest. A single one that the director names and the image
// repository does not, or names otherwise, refuses all: one of the two is wrong, or in wrong hands.
func Agree(image, director Repo) ([]Target, error) {
	if len(director.Targets) == 0 {
		return nil, &Refusal{Repository: Director, Kind: Disagree, Reason: "it names no release for this installation",
			Next: "have one assigned where the JLS runs: jls release assign"}
	}
	var out []Target
	for _, path := range slices.Sorted(maps.Keys(director.Targets)) {
		wanted := director.Targets[path]
		may, ok := image.Targets[path]
		switch {
		case !ok:
			return nil, &Refusal{Kind: Disagree, Reason: fmt.Sprintf("the director names %q, which the image repository does not name",
				path),
				Next: "nothing runs that only one of them names; " + nextOwner}
		case may.Length != wanted.Length || may.Digest != wanted.Digest:
			return nil, &Refusal{Kind: Disagree, Reason: fmt.Sprintf("%q is not the same file in both repositories: %s with %d bytes "+
				"in the "+
				"image repository, %s with %d bytes in the director's", path, may.Digest, may.Length, wanted.Digest, wanted.Length),
				Next: "nothing runs that only one of them names; " + nextOwner}
		}
		out = append(out, may)
	}
	return out, nil
}

// Have is the machine that a release is chosen for.
type Have struct {
	Running string // version that runs and is committed; "" is none yet
	Floor   string // newest version that ran here, as the orchestrator remembers it for a host that keeps nothing; "" asks for nothing
	Arch    string // as Go names it
	Want    string // the release that is asked for; "" is the newest
}

// Release is the files of one release for one machine.
type Release struct {
	Version  string
	Floors   []string // oldest first
	Severity string
	Over     string // the release that this one is a stop-over to; "" when it is the one that was asked for
	Files    []Target
}

// Choose is the release that a machine goes to next: the one it is asked for, or a stop-over to it where the machine is below its floor. A
// release older than what runs is refused: a permitted downgrade is a new release with a higher number.
func Choose(agreed []Target, have Have) (Release, error) {
	releases, err := group(agreed, have.Arch)
	if err != nil {
		return Release{}, err
	}
	to := releases[len(releases)-1]
	if have.Want != "" {
		i := slices.IndexFunc(releases, func(r Release) bool { return r.Version == have.Want })
		if i < 0 {
			return Release{}, &Refusal{Kind: Disagree, Reason: fmt.Sprintf("release %s is not among those that both repositories name for "+
				"this installation: %s", have.Want, versions(releases)), Next: "have it assigned where the JLS runs, and import it"}
		}
		to = releases[i]
	}
	for _, least := range []struct{ version, what string }{{have.Running, "runs here"}, {have.Floor, "ran here before"}} {
		if least.version != "" && compare(to.Version, least.version) < 0 {
			return Release{}, &Refusal{Kind: Downgrade, Reason: fmt.Sprintf("release %s is older than %s, which %s", to.Version,
				least.version, least.what), Next: "publish the older content as a new release with a higher number"}
		}
	}
	if have.Running == "" {
		return to, nil
	}
	return onTheWay(releases, to, have.Running)
}

// onTheWay is the first stop on the way from what runs to a release: the release itself, or the oldest of its floors that is newer than
// what
// runs, which has to be one of the releases too.
func onTheWay(releases []Release, to Release, runs string) (Release, error) {
	for stop := to; ; {
		i := slices.IndexFunc(stop.Floors, func(f string) bool { return compare(runs, f) < 0 })
		if i < 0 {
			if stop.Version != to.Version {
				stop.Over = to.Version
			}
			return stop, nil
		}
		floor := stop.Floors[i]
		j := slices.IndexFunc(releases, func(r Release) bool { return r.Version == floor })
		if j < 0 {
			return Release{}, &Refusal{Kind: BelowFloor, Reason: fmt.Sprintf("release %s can't be reached from %s, which runs here, "+
				"without a "+
				"stop at %s", stop.Version, runs, floor), Next: fmt.Sprintf("have release %s assigned as well", floor)}
		}
		stop = releases[j]
	}
}

// versions names releases for people.
func versions(releases []Release) string {
	var names []string
	for _, r := range releases {
		names = append(names, r.Version)
	}
	return strings.Join(names, ", ")
}

// group is the releases, oldest first, with the files that fit the machine.
func group(agreed []Target, arch string) ([]Release, error) {
	found := map[string]*Release{}
	other := ""
	for _, t := range agreed {
		c := t.Custom
		if !semver.IsValid("v" + c.Release) {
			return nil, &Refusal{Repository: Image, Kind: Damaged, Reason: fmt.Sprintf("%q is part of the release %q, which is no version "+
				"such as 1.2.0", t.Path, c.Release), Next: nextOwner}
		}
		for _, f := range c.Floors {
			if !semver.IsValid("v"+f) || compare(f, c.Release) >= 0 {
				return nil, &Refusal{Repository: Image, Kind: Damaged,
					Reason: fmt.Sprintf("%q has the floor %q, which is no version older "+
						"than its release %s", t.Path, f, c.Release), Next: nextOwner}
			}
		}
		if c.Arch != "" && arch != "" && c.Arch != arch {
			other = c.Arch
			continue
		}
		r := found[c.Release]
		if r == nil {
			r = &Release{Version: c.Release}
			found[c.Release] = r
		}
		if len(c.Floors) > 0 {
			r.Floors = slices.SortedFunc(slices.Values(c.Floors), compare)
		}
		if c.Severity != "" {
			r.Severity = c.Severity
		}
		r.Files = append(r.Files, t)
	}
	if len(found) == 0 {
		return nil, &Refusal{Kind: Architecture, Reason: fmt.Sprintf("what both repositories name is for %s, this machine is %s", other,
			arch),
			Next: "have a release for this architecture assigned"}
	}
	out := make([]Release, 0, len(found))
	for _, r := range found {
		out = append(out, *r)
	}
	slices.SortFunc(out, func(a, b Release) int { return compare(a.Version, b.Version) })
	return out, nil
}

// compare orders versions by semver 2.0.0, section 11; versions that differ in build metadata alone are ordered by their text.
func compare(a, b string) int {
	if n := semver.Compare("v"+a, "v"+b); n != 0 {
		return n
	}
	return strings.Compare(a, b)
}

// Find is the file at path among targets.
func Find(targets []Target, path string) (Target, bool) {
	i := slices.IndexFunc(targets, func(t Target) bool { return t.Path == path })
	if i < 0 {
		return Target{}, false
	}
	return targets[i], true
}

// Holds is the refusal of a file whose digest or length is not the target's, or nil.
func (t Target) Holds(length int64, digest wire.Digest) error {
	if length == t.Length && digest == t.Digest {
		return nil
	}
	return &Refusal{Kind: Altered, Reason: fmt.Sprintf("%s has %d bytes and the digest %s, both repositories name %d bytes and %s", t.Path,
		length, digest, t.Length, t.Digest), Next: "take the file from another place"}
}
