package link

import (
	"context"
	"errors"
	"path/filepath"
	"sync"
	"testing"

	"hardnode.dev/agent/desired"
	"hardnode.dev/internal/wire/boot"
	"hardnode.dev/internal/wire/operator"
)

// TestVetted: a host that must not be heard of has an identity, says why it does not connect, and reports nothing until it may.
func TestVetted(t *testing.T) {
	o := newOrchestrator(t)
	dir := t.TempDir()
	store, err := desired.Open(filepath.Join(dir, "desired"), "", nil)
	if err != nil {
		t.Fatal(err)
	}
	var says struct {
		sync.Mutex
		err error
	}
	set := func(err error) {
		says.Lock()
		defer says.Unlock()
		says.err = err
	}
	set(errors.New("no route to host"))
	l, _ := startWith(t, Options{Dir: filepath.Join(dir, "identity"), Store: store, Vet: func(context.Context) error {
		says.Lock()
		defer says.Unlock()
		return says.err
	}}, o.join())
	shows := func(word, reason string) func() bool {
		return func() bool {
			s := l.Status()
			return s.Stage == boot.StageJoined && !s.Linked && s.Link == word && len(s.Problems) == 1 && s.Problems[0].Reason == reason
		}
	}
	eventually(t, "it can't ask", shows(wordConnecting, "no route to host"))
	set(operator.NewProblem(operator.Denied, "system", "another image", "boot it again"))
	eventually(t, "it is kept away", shows(wordNotConnecting, "another image"))
	if n := o.count(); n != 0 {
		t.Errorf("it reported %d times", n)
	}
	set(nil)
	eventually(t, "it is heard of", func() bool { s := l.Status(); return s.Linked && len(s.Problems) == 0 })
}
