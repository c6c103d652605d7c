// Package backup is JEM's module of what a container does before and after a snapshot of it.
//
// Owns: what databases are told, so that a snapshot begins quickly when it is restored.
// In: what runs here; the container's own hooks (backup-before.pre and .post, backup-after.pre and .post).
// Out: databases that have written what they held back; an error that the one who makes the snapshot may go on after.
// Never: stops or locks anything for longer than its time.
package backup

import (
	"context"
	"strings"
	"time"

	"hardnode.dev/agent/jem/contract"
	"hardnode.dev/agent/jem/database"
)

// limit is how long a snapshot waits, hooks included.
const limit = time.Minute

// Module is the module's table.
var Module = contract.Module{Name: "backup", Help: "before and after a snapshot", Actions: []contract.Action{
	{Name: "before", Help: "have databases write what they hold back, and run the container's hooks", Frees: true, Limit: limit,
		Begin: contract.Only(before)},
	{Name: "after", Help: "run the container's hooks: the snapshot is made, or is not", Frees: true, Limit: limit,
		Begin: contract.Only(after)},
}}

// tells are what databases are told. A crash loses nothing of theirs, and a snapshot is as one: this only makes the way back short. What
// MariaDB can't lock within 3 s it leaves.
var tells = []struct {
	database.Database
	say, did string
}{
	{database.PostgreSQL, "CHECKPOINT;\n", "PostgreSQL has written a checkpoint"},
	{database.MariaDB, "SET SESSION lock_wait_timeout = 3;\nFLUSH LOCAL TABLES;\nFLUSH LOCAL ENGINE LOGS;\n",
		"MariaDB has written its tables and logs"},
}

func before(ctx context.Context, c *contract.Call) error {
	var did []string
	for _, t := range tells {
		if !t.Runs(c.Root) {
			continue
		}
		if err := t.Do(ctx, c.Root, t.say); err != nil {
			return err
		}
		did = append(did, t.did)
	}
	if did == nil {
		did = []string{"no database that JEM knows runs here"}
	}
	c.Done("%s", strings.Join(did, "; "))
	return nil
}

func after(_ context.Context, c *contract.Call) error {
	c.Done("the container goes on")
	return nil
}
