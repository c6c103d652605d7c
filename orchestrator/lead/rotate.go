package lead

import (
	"context"
	"crypto/rand"
	"fmt"
	"time"

	"hardnode.dev/internal/logging"
	"hardnode.dev/internal/secret"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/orchestrator/store"
)

// RotateGossip begins to replace the gossip key. Errors are Problems.
func (l *Loop) RotateGossip(ctx context.Context, by string) error {
	next := make(secret.Bytes, 32)
	if _, err := rand.Read(next); err != nil {
		return fmt.Errorf("make gossip key: %v", err)
	}
	_, err := l.Store.Update(ctx, func(tx *store.Tx) error {
		k, _ := store.GossipKeys.Read(tx, store.Only)
		if k.Rotating() {
			return operator.NewProblem(operator.Conflict, "cluster/gossip-key",
				"it is being rotated since "+k.Since.UTC().Format(time.RFC3339), "wait until that is done: hnctl cluster status")
		}
		if len(k.Use) == 0 {
			c, _ := store.Clusters.Read(tx, store.Only)
			k.Use = c.Gossip
		}
		store.GossipKeys.Put(tx, store.Only,
			store.GossipKey{Use: k.Use, Next: next, Since: time.Now().UTC().Truncate(time.Millisecond), By: by})
		return nil
	})
	if err == nil {
		logging.Or(l.Log).Info("rotate the gossip key: all accept the new one", logging.Reason, "asked by "+by)
	}
	return err
}
