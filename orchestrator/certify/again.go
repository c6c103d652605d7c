package certify

import (
	"context"

	"hardnode.dev/orchestrator/store"
)

// Again has a name looked at at once that did not lead to the cluster when it was looked at last. One that the CA did not certify rests on:
// who asks for it again and again uses up what the CA takes.
func (d *Desk) Again(ctx context.Context, name string) error {
	_, err := d.Store.Update(ctx, func(tx *store.Tx) error {
		rec, there := store.Issues.Read(tx, name)
		if there && rec.Tries > 0 && !rec.Asked && rec.Next.After(d.now()) {
			rec.Next = d.now()
			store.Issues.Put(tx, name, rec)
		}
		return nil
	})
	d.Look()
	return err
}
