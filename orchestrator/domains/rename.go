package domains

import (
	"fmt"
	"strings"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/orchestrator/store"
)

// Renamed gives what an environment is served under, and how, to the name that it gets in the same transaction. Its own name in the
// cluster's domain becomes the new one, without a certificate that was uploaded for the old; names below that can't follow, and are a
// Problem.
func Renamed(tx *store.Tx, e store.Environment, to wire.EnvName) error {
	v, from := tx.View(), string(e.Spec.Name)
	mine := own(v, e.Spec.Name)
	store.Domains.Read(tx, mine) // so that it is not set at the same moment
	var below []string
	for seen := range store.DomainsOf.Of(v, from) {
		rec, there := store.Domains.Read(tx, seen.Name)
		switch {
		case !there || !alive(&rec, &e):
			continue
		case strings.HasSuffix(rec.Name, "."+mine):
			below = append(below, rec.Name)
			continue
		case rec.Name == mine:
			store.Domains.Delete(tx, mine)
			rec.Name, rec.Certificate = own(v, to), nil
		}
		rec.Env = to
		store.Domains.Put(tx, rec.Name, rec)
	}
	if len(below) > 0 {
		return operator.NewProblem(operator.Conflict, "environments/"+from,
			fmt.Sprintf("it has names below its own: %s", strings.Join(below, ", ")),
			"delete them first, and set them below the new one then: hnctl env domain delete "+from+" "+below[0])
	}
	if rec, there := store.Fronts.Read(tx, from); there && rec.Since.Equal(e.Created) {
		store.Fronts.Delete(tx, from)
		rec.Env = to
		store.Fronts.Put(tx, string(to), rec)
	}
	return nil
}
