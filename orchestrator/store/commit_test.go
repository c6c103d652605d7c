package store

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// lossy is a member that loses what it is asked for, or its answers.
type lossy struct {
	clientv3.KV
	mu    sync.Mutex
	rand  *rand.Rand
	fates map[string]int
}

// The fates of a transaction.
const (
	answered1 = "answered"
	unheard   = "lost before it is carried out"
	unsaid    = "carried out, the answer lost"
	late      = "carried out later, the answer lost"
)

func (l *lossy) fate() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	f := []string{answered1, unheard, unsaid, late}[l.rand.IntN(4)]
	l.fates[f]++
	return f
}

func (l *lossy) Txn(ctx context.Context) clientv3.Txn { return &lossyTxn{Txn: l.KV.Txn(ctx), of: l} }

type lossyTxn struct {
	clientv3.Txn
	of *lossy
}

func (t *lossyTxn) If(c ...clientv3.Cmp) clientv3.Txn  { t.Txn = t.Txn.If(c...); return t }
func (t *lossyTxn) Then(o ...clientv3.Op) clientv3.Txn { t.Txn = t.Txn.Then(o...); return t }

func (t *lossyTxn) Commit() (*clientv3.TxnResponse, error) {
	switch t.of.fate() {
	case answered1:
		return t.Txn.Commit()
	case unheard:
		return nil, rpctypes.ErrTimeout
	case late: // when the answer is given up, and before anything that is written then
		t.of.mu.Lock()
		go func() { defer t.of.mu.Unlock(); t.Txn.Commit() }()
	default:
		if _, err := t.Txn.Commit(); err != nil {
			return nil, err
		}
	}
	return nil, rpctypes.ErrTimeout
}

// Put waits for what came before it, as the member's log does.
func (l *lossy) Put(ctx context.Context, key, val string, o ...clientv3.OpOption) (*clientv3.PutResponse, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.rand.IntN(3) == 0 {
		return nil, rpctypes.ErrTimeout
	}
	return l.KV.Put(ctx, key, val, o...)
}

// Whatever becomes of the member's answers, a transaction is carried out once, and whoever asked for it knows.
func TestLostAnswers(t *testing.T) {
	s := opened(t, t.TempDir(), nil)
	seed := time.Now().UnixNano()
	t.Logf("seed %d", seed)
	l := &lossy{KV: s.m, rand: rand.New(rand.NewPCG(uint64(seed), 0)), fates: map[string]int{}}
	s.commits.kv = l
	const writers, each = 4, 15
	var all sync.WaitGroup
	for w := range writers {
		all.Go(func() {
			count := fmt.Sprint("count-", w)
			for i := range each {
				name := fmt.Sprint(w, "-", i)
				if _, err := s.Update(t.Context(), func(tx *Tx) error {
					n, _ := Numbers.Read(tx, count)
					Numbers.Put(tx, count, Number{Next: n.Next + 1})
					Numbers.Put(tx, name, Number{Next: 1})
					return nil
				}); err != nil {
					t.Errorf("%s: %v", name, err)
				}
				if _, there := Numbers.Get(s.View(), name); !there {
					t.Errorf("%s was stored, and is not in the view", name)
				}
			}
			if n, _ := Numbers.Get(s.View(), count); n.Next != each {
				t.Errorf("%d transactions were asked for, %d were carried out", each, n.Next)
			}
		})
	}
	all.Wait()
	for _, f := range []string{answered1, unheard, unsaid, late} {
		if l.fates[f] == 0 {
			t.Errorf("never: %s (%v)", f, l.fates)
		}
	}
	if marks, err := s.m.Get(t.Context(), markPrefix, clientv3.WithPrefix()); err != nil || len(marks.Kvs) > places {
		t.Errorf("%d marks are left, want %d at most: %v", len(marks.Kvs), places, err)
	}
}
