package limit

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// TestPlaces: who holds many waits, who holds few is next, those that are kept stay free for who does not keep them.
func TestPlaces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &Places{All: 6}
		account := func(name string) Holder { return Holder{Name: name, Most: 3, Kept: 1} }
		admin := Holder{Name: "admin", Most: 6}
		var order []string
		leave := map[string][]func(){}
		enter := func(h Holder) {
			go func() {
				l, ok := p.Enter(t.Context(), h, time.Hour)
				if ok {
					order = append(order, h.Name)
					leave[h.Name] = append(leave[h.Name], l)
				}
			}()
			synctest.Wait()
		}
		free := func(name string) {
			l := leave[name][0]
			leave[name] = leave[name][1:]
			l()
			synctest.Wait()
		}
		for range 5 {
			enter(account("eve"))
		}
		if p.Holds("eve") != 3 || len(order) != 3 {
			t.Fatalf("one account holds %d of 6, want 3", p.Holds("eve"))
		}
		enter(account("bob"))
		enter(account("bob"))
		enter(account("ann")) // the last place is not for accounts
		if p.Holds("bob") != 2 || p.Holds("ann") != 0 {
			t.Errorf("bob holds %d, ann %d, want 2 and 0", p.Holds("bob"), p.Holds("ann"))
		}
		enter(admin)
		if p.Holds("admin") != 1 {
			t.Error("the admins wait behind accounts")
		}
		enter(account("bob"))
		enter(account("ann"))
		order = nil
		// Each that becomes free goes to who holds the fewest: not to eve, who came first.
		free("admin")
		free("eve")
		free("bob")
		free("bob")
		if want := []string{"ann", "bob", "ann"}; !slices.Equal(order, want) {
			t.Errorf("the free places went to %v, want %v", order, want)
		}
		if _, ok := p.Enter(t.Context(), account("eve"), time.Minute); ok {
			t.Error("it got a place that is kept for others")
		}
		ended, end := context.WithCancel(t.Context())
		end()
		if _, ok := p.Enter(ended, account("zoe"), time.Hour); ok {
			t.Error("who is gone got a place")
		}
		for len(leave) > 0 {
			for name, l := range leave {
				delete(leave, name)
				for _, f := range l {
					f()
					synctest.Wait()
				}
			}
		}
		if p.taken != 0 || len(p.held) != 0 || len(p.waiting) != 0 {
			t.Errorf("after all left %d are taken, by %v, and %d wait", p.taken, p.held, len(p.waiting))
		}
	})
}
