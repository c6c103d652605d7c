package facts

import (
	"encoding/json"
	"os"

	"hardnode.dev/internal/wire/boot"
	"hardnode.dev/internal/wire/upkeep"
)

// Boots are the last boots of this host and why they came, the newest first, as init has told them; none when it has not.
func (s Source) Boots() []upkeep.Boot {
	raw, err := os.ReadFile(s.Root + boot.BootsFile)
	if err != nil {
		return nil
	}
	var all []upkeep.Boot
	if json.Unmarshal(raw, &all) != nil {
		return nil
	}
	return upkeep.Bounded(all)
}
