package accounts

import (
	"maps"
	"sync"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/orchestrator/store"
)

// sums are what each account has, kept from one moment to the next: what changes costs the environments that it changes, and asking costs
// the accounts. The zero value knows nothing.
type sums struct {
	mu struct {
		sync.Mutex
		at   wire.Revision // of the view that they are of
		each map[wire.EnvName]share
		by   map[wire.Account]*sum
		// Of what went there is no record any more that says whose it was.
		nodes   map[string]wire.EnvName // by number
		domains map[string]wire.EnvName // by host name
		tokens  map[string]wire.Account // by hash
		open    map[wire.EnvName]bool   // those with a node that is not made yet: what it takes its template says
	}
	looked int // environments, since the beginning
}

// share is what one environment takes of its account.
type share struct {
	owner wire.Account
	takes Amount
}

// sum is what an account has, and by how many environments and tokens it is known.
type sum struct {
	has    Amount
	things int
}

// of is what each account has by which anything is: those that have nothing are there too if one of these is theirs. It is the caller's.
func (s *sums) of(view func() *store.View) map[wire.Account]Amount {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.follow(view())
	out := make(map[wire.Account]Amount, len(s.mu.by))
	for name, x := range s.mu.by {
		out[name] = maps.Clone(x.has)
	}
	return out
}

// follow brings the sums up to a view. The lock is held.
func (s *sums) follow(v *store.View) {
	changes, ok := v.Since(s.mu.at)
	if s.mu.each == nil || !ok {
		s.anew(v)
		return
	}
	found := map[wire.EnvName]bool{}
	for _, c := range changes {
		switch c.Kind {
		case store.Envs.Kind():
			found[wire.EnvName(c.Name)] = true
		case store.Nodes.Kind():
			found[s.mu.nodes[c.Name]] = true
			if n := store.Nodes.Find(v, c.Name); n != nil {
				s.mu.nodes[c.Name], found[n.Env] = n.Env, true
			} else {
				delete(s.mu.nodes, c.Name)
			}
		case store.Domains.Kind():
			found[s.mu.domains[c.Name]] = true
			if d := store.Domains.Find(v, c.Name); d != nil {
				s.mu.domains[c.Name], found[d.Env] = d.Env, true
			} else {
				delete(s.mu.domains, c.Name)
			}
		case store.Templates.Kind():
			maps.Copy(found, s.mu.open)
		case store.Tokens.Kind():
			s.token(v, c.Name)
		}
	}
	s.look(v, found)
	s.mu.at = v.Revision()
}

// anew looks at everything.
func (s *sums) anew(v *store.View) {
	s.mu.each, s.mu.by, s.mu.open = map[wire.EnvName]share{}, map[wire.Account]*sum{}, map[wire.EnvName]bool{}
	s.mu.nodes, s.mu.domains, s.mu.tokens = map[string]wire.EnvName{}, map[string]wire.EnvName{}, map[string]wire.Account{}
	for name, d := range store.Domains.Refs(v) {
		s.mu.domains[name] = d.Env
	}
	for name, n := range store.Nodes.Refs(v) {
		s.mu.nodes[name] = n.Env
	}
	for hash := range store.Tokens.Refs(v) {
		s.token(v, hash)
	}
	all := map[wire.EnvName]bool{}
	for name := range store.Envs.Refs(v) {
		all[wire.EnvName(name)] = true
	}
	s.look(v, all)
	s.mu.at = v.Revision()
}

func (s *sums) token(v *store.View, hash string) {
	if of, there := s.mu.tokens[hash]; there {
		s.add(of, nil, -1)
		delete(s.mu.tokens, hash)
	}
	if t := store.Tokens.Find(v, hash); t != nil {
		s.mu.tokens[hash] = t.Account.Owner()
		s.add(t.Account.Owner(), nil, 1)
	}
}

// look counts environments again.
func (s *sums) look(v *store.View, found map[wire.EnvName]bool) {
	find := templatesOf(v)
	for name := range found {
		if old, there := s.mu.each[name]; there {
			s.add(old.owner, old.takes, -1)
			delete(s.mu.each, name)
			delete(s.mu.open, name)
		}
		e := store.Envs.Find(v, string(name))
		if e == nil {
			continue
		}
		s.looked++
		now := share{e.Account.Owner(), Amount{}}
		now.takes.count(v, e, func(owner wire.Account, template wire.TemplateName) host.Template {
			s.mu.open[name] = true
			return find(owner, template)
		})
		s.mu.each[name] = now
		s.add(now.owner, now.takes, 1)
	}
}

// add counts a thing of an account, with 1, or no more, with -1.
func (s *sums) add(of wire.Account, takes Amount, by int) {
	x := s.mu.by[of]
	if x == nil {
		x = &sum{has: Amount{}}
		s.mu.by[of] = x
	}
	for k, n := range takes {
		if x.has[k] += n * int64(by); x.has[k] == 0 {
			delete(x.has, k)
		}
	}
	if x.things += by; x.things == 0 {
		delete(s.mu.by, of)
	}
}
