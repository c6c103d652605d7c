package operator

import (
	"time"

	"hardnode.dev/internal/wire"
)

// Audit is one record of who did what.
type Audit struct {
	Seq     int64        `json:"seq"`
	At      time.Time    `json:"at"`
	Who     string       `json:"who"`
	Account wire.Account `json:"account,omitempty" doc:"Of the one who did it"`
	User    string       `json:"user,omitempty" doc:"Id of the user who did it; absent: it was a token's"`
	// With is another account that it concerns, and that reads the record too: without who did it, and from where.
	With   wire.Account `json:"with,omitempty" doc:"The other account that it concerns: where an environment is shared, or it is exported"`
	By     string       `json:"by,omitempty" doc:"Who of those who run the cluster did it, acting as the user"`
	From   string       `json:"from" doc:"Address the request came from"`
	What   string       `json:"what"`
	Object string       `json:"object"`
	Result string       `json:"result" doc:"begun, written before the effect; then ok, or the code and reason of the refusal"`
}
