package host

import (
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/front"
)

// DecodeRoutes reads a Routes document strictly.
func DecodeRoutes(r io.Reader) (Routes, error) {
	var t Routes
	if err := decode(r, "routes", &t); err != nil {
		return Routes{}, err
	}
	return t, t.Validate()
}

// RoutesChanges is the query of PathRoutes by which a resolver says that it takes differences: "1". An orchestrator that knows what changed
// since the call's revision then sends that alone; the whole document else.
const RoutesChanges = "changes"

// After is the whole document that a change leads to from old, which stays as it is; t itself if it is whole. ErrOther: the change leads on
// from something else, or to a document in which two sites have one domain.
func (t Routes) After(old Routes) (Routes, error) {
	if t.From == 0 {
		return t, nil
	}
	if t.From != old.Revision || old.From != 0 {
		return Routes{}, fmt.Errorf("routes %d: they lead on from %d, here are %d: %w", t.Revision, t.From, old.Revision, ErrOther)
	}
	at := make(map[wire.EnvName]int, len(old.Sites)) // places in Sites
	for i, s := range old.Sites {
		at[s.Env] = i
	}
	next := Routes{Version: t.Version, Revision: t.Revision, Sites: slices.Clone(old.Sites), Default: old.Default, Cookies: old.Cookies,
		Zone: old.Zone}
	if t.Zone != nil {
		next.Zone = t.Zone
	}
	if t.Default != nil {
		next.Default = t.Default
	}
	if len(t.Cookies) > 0 {
		next.Cookies = t.Cookies
	}
	for _, s := range t.Sites {
		if i, there := at[s.Env]; there {
			next.Sites[i] = s
		} else {
			at[s.Env] = len(next.Sites)
			next.Sites = append(next.Sites, s)
		}
	}
	gone := make(map[wire.EnvName]bool, len(t.Gone))
	for _, name := range t.Gone {
		gone[name] = true
	}
	next.Sites = slices.DeleteFunc(next.Sites, func(s Site) bool { return gone[s.Env] })
	domains := make(map[string]bool, len(next.Sites))
	for _, s := range next.Sites {
		for _, d := range s.domains() {
			if domains[d] {
				return Routes{}, fmt.Errorf("routes %d: domain %q is there twice: %w", t.Revision, d, ErrOther)
			}
			domains[d] = true
		}
	}
	return next, nil
}

// domains are all names of a site, each once.
func (s Site) domains() []string {
	out := append(make([]string, 0, 1+len(s.Names)), s.Domain)
	for _, n := range s.Names {
		if n.Name != s.Domain {
			out = append(out, n.Name)
		}
	}
	return out
}

func (s Site) validateNames() error {
	seen := map[string]bool{}
	for i, n := range s.Names {
		switch c := n.Certificate; {
		case !IsDomain(n.Name) || seen[n.Name]:
			return fmt.Errorf("names[%d]: %q: want lower-case DNS labels joined by dots, each name once", i, n.Name)
		case n.Validate() != nil:
			return fmt.Errorf("names[%d] (%s): %v", i, n.Name, n.Validate())
		case c != nil && (len(c.Chain) == 0 || len(c.Key) == 0):
			return fmt.Errorf("names[%d] (%s): its certificate has no chain or no key", i, n.Name)
		case n.Challenge.Validate() != nil:
			return fmt.Errorf("names[%d] (%s): %v", i, n.Name, n.Challenge.Validate())
		}
		seen[n.Name] = true
	}
	if s.Front != nil {
		if err := s.Front.Validate(); err != nil {
			return fmt.Errorf("front: %v", err)
		}
	}
	for i, b := range s.Backends {
		if b.Weight < 0 || b.Weight > front.MaxWeight {
			return fmt.Errorf("backends[%d]: weight %d: want 0 to %d", i, b.Weight, front.MaxWeight)
		}
	}
	return nil
}

// Validate says which entry of the routes is wrong, or nil. A domain may be served by one site only.
func (t Routes) Validate() error {
	if t.Version != 1 {
		return fmt.Errorf("routes: version %d is not known, want 1", t.Version)
	}
	if t.Revision < 0 {
		return fmt.Errorf("routes: revision %d is negative", t.Revision)
	}
	if t.From < 0 || t.From > 0 && t.From >= t.Revision {
		return fmt.Errorf("routes: revision %d can't lead on from %d", t.Revision, t.From)
	}
	if err := t.Zone.Validate(); err != nil {
		return fmt.Errorf("routes: %v", err)
	}
	seen := make(map[string]bool, len(t.Sites))
	for i, s := range t.Sites {
		switch {
		case s.Env.Validate() != nil:
			return fmt.Errorf("routes: sites[%d]: %v", i, s.Env.Validate())
		case !IsDomain(s.Domain):
			return fmt.Errorf("routes: sites[%d] (%s): domain %q: want lower-case DNS labels joined by dots", i, s.Env, s.Domain)
		case s.Check != "" && !IsCheckPath(s.Check):
			return fmt.Errorf("routes: sites[%d] (%s): check %q: want a path", i, s.Env, s.Check)
		}
		if err := s.validateNames(); err != nil {
			return fmt.Errorf("routes: sites[%d] (%s): %v", i, s.Env, err)
		}
		for _, d := range s.domains() {
			if seen[d] {
				return fmt.Errorf("routes: sites[%d] (%s): domain %q is there twice", i, s.Env, d)
			}
			seen[d] = true
		}
		addrs := make(map[netip.AddrPort]bool, len(s.Backends))
		for j, b := range s.Backends {
			if a := b.Addr.Addr(); !a.IsValid() || b.Addr.Port() == 0 || a.IsUnspecified() || a.IsMulticast() || a.IsLinkLocalUnicast() {
				return fmt.Errorf("routes: sites[%d] (%s): backends[%d]: %s is no address of a node", i, s.Env, j, b.Addr)
			}
			if b.CTID < 1 || addrs[b.Addr] {
				return fmt.Errorf("routes: sites[%d] (%s): backends[%d]: container %d at %s: has no number or is there twice", i, s.Env, j,
					b.CTID, b.Addr)
			}
			addrs[b.Addr] = true
		}
	}
	return nil
}

// IsDomain tells whether s is DNS labels joined by dots (RFC 1123), lower-case, at most 253 characters, without a trailing dot.
func IsDomain(s string) bool {
	if s == "" || len(s) > 253 {
		return false
	}
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		for _, c := range []byte(label) {
			if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
				return false
			}
		}
	}
	return true
}
