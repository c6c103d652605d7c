package operator

import "time"

// Trash is since when an environment is in the trash, and until when. Its nodes are stopped; its data, addresses and names are kept for it.
type Trash struct {
	At    time.Time `json:"at"`
	Until time.Time `json:"until" doc:"When it is erased by itself, with all its data"`
	By    string    `json:"by" doc:"Who put it there"`
}

// TrashDays is for how many days environments stay in the trash where the account's group says nothing else, and MaxTrash is how many an
// account may have there: each keeps its name.
const (
	TrashDays = 7
	MaxTrash  = 50
)
