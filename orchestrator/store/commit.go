package store

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc/codes"

	"hardnode.dev/internal/run"
)

// A member waits a few seconds for a transaction, then it answers that the time is over: its disk was busy, and the transaction is carried
// out later, or never. Whoever asked for it must not guess. So each transaction leaves a mark, and when its answer is none, something else
// is written behind it: once that is there, the transaction is carried out or never will be, and the mark tells which.
const (
	markPrefix = "/hardnode/mark/" // and the number of a place: it holds the mark of the last transaction that had it
	fenceKey   = "/hardnode/fence"
	places     = 64 // how many transactions are at work at once
)

// outcome is what became of a transaction.
type outcome int

const (
	carriedOut outcome = iota
	refused            // a record was another one
	lost               // nothing was carried out, and nothing of it will be
)

// commits carries out transactions. The mark of one says which process it is of, and which of its transactions.
type commits struct {
	kv    clientv3.KV
	run   string          // of this process: no other has it
	free  chan int        // places
	ended <-chan struct{} // the store is being closed
	n     atomic.Int64    // the number of the last one
}

func newCommits(kv clientv3.KV, run string, ended <-chan struct{}) *commits {
	c := &commits{kv: kv, run: run, free: make(chan int, places), ended: ended}
	for i := range places {
		c.free <- i
	}
	return c
}

// do carries out a transaction, and tells what became of it; when it was done, at which revision. An error: that is not known.
func (c *commits) do(ctx context.Context, cmps []clientv3.Cmp, ops []clientv3.Op) (rev int64, how outcome, err error) {
	var place int
	select {
	case place = <-c.free:
	case <-ctx.Done():
		return 0, lost, ctx.Err()
	}
	// A transaction that is carried out after all when nobody waits for it any more comes before the next one of its place.
	defer func() { c.free <- place }()
	key, mark := fmt.Sprint(markPrefix, place), fmt.Sprint(c.run, " ", c.n.Add(1))
	got, err := c.kv.Txn(ctx).If(cmps...).Then(append(ops, clientv3.OpPut(key, mark))...).Commit()
	switch {
	case err == nil && got.Succeeded:
		return got.Header.Revision, carriedOut, nil
	case err == nil:
		return 0, refused, nil
	case !uncertain(err):
		return 0, lost, err
	}
	for run.Wait(ctx, 50*time.Millisecond) {
		select {
		case <-c.ended:
			return 0, lost, err
		default:
		}
		if _, err := c.kv.Put(ctx, fenceKey, mark); err != nil {
			continue
		}
		switch is, err := c.kv.Get(ctx, key); {
		case err != nil:
			continue
		case len(is.Kvs) == 1 && string(is.Kvs[0].Value) == mark:
			return is.Kvs[0].ModRevision, carriedOut, nil
		default:
			return 0, lost, nil
		}
	}
	return 0, lost, err
}

// uncertain tells whether an error leaves it open what became of a transaction: the member gave up waiting, or was told to.
func uncertain(err error) bool {
	var coded interface{ Code() codes.Code } // what the member answers (rpctypes.EtcdError)
	if errors.As(err, &coded) {
		return coded.Code() == codes.Unavailable || coded.Code() == codes.DeadlineExceeded || coded.Code() == codes.Canceled
	}
	return errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled)
}
