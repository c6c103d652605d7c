package panel

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/a-h/templ"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/orchestrator/store"
	"hardnode.dev/orchestrator/world"
)

// lists is a cluster with so many environments, hosts and operations.
func lists(t *testing.T, n int) (*store.Memory, world.World) {
	t.Helper()
	m := store.NewMemory()
	if _, err := m.Update(t.Context(), func(tx *store.Tx) error {
		for i := range n {
			name, id := fmt.Sprintf("x%05d", i), wire.HostID(fmt.Sprintf("h-%05d", i))
			store.Envs.Put(tx, name, store.Environment{Spec: operator.EnvironmentSpec{Name: wire.EnvName(name)}, Want: store.WantStopped})
			store.Hosts.Put(tx, string(id), store.Host{ID: id, Name: name, Order: int64(i)})
			op := operator.Operation{ID: wire.OperationID(name), Kind: "env.create", Created: time.Unix(int64(1e9-i), 0)}
			store.Operations.Put(tx, name, store.Operation{Operation: op})
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return m, looked(m)
}

func looked(m *store.Memory) world.World { return world.World{View: m.View()}.For(world.Admin) }

type handler = func(*http.Request, *page, world.World) templ.Component

// render asks for a page; pg is what it says of itself.
func render(t *testing.T, f handler, at string, v world.World) (pg page, html string) {
	t.Helper()
	pg = page{Cluster: v.Installation()}
	var out bytes.Buffer
	if err := f(httptest.NewRequest("GET", at, nil), &pg, v).Render(t.Context(), &out); err != nil {
		t.Fatal(err)
	}
	return pg, out.String()
}

var (
	named = regexp.MustCompile(`<a class="name" href="[^"]*/(x\d+)"`)
	on    = regexp.MustCompile(`<a href="([^"]*)" rel="next"`)
)

// rows are the things that a page lists, and where the next page is.
func rows(html string) (names []string, next string) {
	for _, m := range named.FindAllStringSubmatch(html, -1) {
		names = append(names, m[1])
	}
	if m := on.FindStringSubmatch(html); m != nil {
		next = m[1]
	}
	return names, next
}

// TestPages: a list is shown a page at a time; whoever follows the links sees each thing once, in order, whatever goes meanwhile.
func TestPages(t *testing.T) {
	p := &Panel{}
	for at, f := range map[string]handler{"/panel/environments": p.environments, "/panel/": p.hosts, "/panel/operations": p.operations} {
		for _, n := range []int{0, 1, pageSize, pageSize + 1, 2*pageSize + 50} {
			m, v := lists(t, n)
			var all, want []string
			for i := range n {
				want = append(want, fmt.Sprintf("x%05d", i))
			}
			pages, next := 0, at
			for next != "" {
				_, html := render(t, f, next, v)
				names, to := rows(html)
				if len(names) > pageSize {
					t.Fatalf("%s of %d: a page has %d rows", at, n, len(names))
				}
				if first := strings.Contains(html, ">First page</a>"); first != (pages > 0) {
					t.Errorf("%s of %d: page %d leads to the first page: %v", at, n, pages, first)
				}
				if pages++; pages == 1 && n > pageSize { // the last thing shown goes, and so does one that was not yet
					gone := []string{names[len(names)-1], want[n-1]}
					if _, err := m.Update(t.Context(), func(tx *store.Tx) error {
						for _, name := range gone {
							store.Envs.Delete(tx, name)
							store.Hosts.Delete(tx, strings.Replace(name, "x", "h-", 1))
							store.Operations.Delete(tx, name)
						}
						return nil
					}); err != nil {
						t.Fatal(err)
					}
					v, want = looked(m), want[:n-1]
				}
				all, next = append(all, names...), to
			}
			if !slices.Equal(all, want) {
				t.Errorf("%s of %d: %d things on %d pages, want %d: %v", at, n, len(all), pages, len(want), all)
			}
		}
		for _, cursor := range []string{"%", "*", "a b", "ä", "x"} {
			_, v := lists(t, 3)
			pg, html := render(t, f, at+"?cursor="+strings.NewReplacer("%", "%25", " ", "%20", "ä", "%C3%A4").Replace(cursor), v)
			if !pg.Missing || !strings.Contains(html, `href="`+at+`"`) {
				t.Errorf("%s, cursor %q: missing %v:\n%s", at, cursor, pg.Missing, html)
			}
		}
	}
}

// TestEmptyPage: only a whole list that has nothing is said to be empty.
func TestEmptyPage(t *testing.T) {
	p := &Panel{}
	_, none := lists(t, 0)
	_, few := lists(t, 3)
	last := "?cursor=" + "eg" // "z", behind all
	for at, f := range map[string]handler{"/panel/environments": p.environments, "/panel/": p.hosts, "/panel/operations": p.operations} {
		if _, html := render(t, f, at, none); !strings.Contains(html, `class="empty"`) || strings.Contains(html, "First page") {
			t.Errorf("%s of nothing:\n%s", at, html)
		}
		if _, html := render(t, f, at+last, few); strings.Contains(html, `class="empty"`) || !strings.Contains(html, "First page") {
			t.Errorf("%s behind all:\n%s", at, html)
		}
	}
}

// TestPageCounts: what is said of all is said of all, whichever page it is on.
func TestPageCounts(t *testing.T) {
	p := &Panel{}
	_, v := lists(t, pageSize+7)
	if _, html := render(t, p.environments, "/panel/environments", v); !strings.Contains(html, "<dt>In all</dt><dd>107</dd>") ||
		!strings.Contains(html, "<dt>down</dt><dd>107</dd>") {
		t.Errorf("environments: %s", html)
	}
	if _, html := render(t, p.hosts, "/panel/", v); !strings.Contains(html, "<dd>0 of 107</dd>") {
		t.Errorf("hosts: %s", html)
	}
}

// TestPageCostsThePage: a page of environments costs what is on it, not what there is.
func TestPageCostsThePage(t *testing.T) {
	p := &Panel{}
	allocations := func(n int) float64 {
		_, v := lists(t, n)
		v.Counted = func(wire.Account) world.Tally { return world.Tally{Environments: map[string]int{"down": n}} }
		return testing.AllocsPerRun(3, func() { render(t, p.environments, "/panel/environments", v) })
	}
	if few, many := allocations(2*pageSize), allocations(20*pageSize); many > 2*few {
		t.Errorf("%.0f allocations of %d environments, %.0f of %d", few, 2*pageSize, many, 20*pageSize)
	}
}
