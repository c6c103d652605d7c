package limits

import (
	"errors"
	"fmt"
	"testing"

	"hardnode.dev/internal/wire/host"
)

func TestFit(t *testing.T) {
	const mib = 1 << 20
	list := Settings(host.Limits{MemoryMin: 8 * mib, MemoryHigh: 60 * mib, MemoryMax: 64 * mib}, 0, nil)
	if Aim(list) != 60*mib || Aim(Settings(host.Limits{}, 0, nil)) != 0 {
		t.Errorf("aims: %d, and %d without limits", Aim(list), Aim(Settings(host.Limits{}, 0, nil)))
	}
	for _, c := range []struct {
		name      string
		use       int64
		more      bool
		high, max string
		waits     string
	}{
		{"it uses less", 50 * mib, false, "62914560", "67108864", ""},
		{"between the two", 62 * mib, false, "62914560", "67108864", ""},
		{"nothing can be reclaimed", 100 * mib, false, "138412032", "",
			"memory waits: it uses 100 MiB, and shall have 64 MiB at most; free memory in it, or restart it"},
		{"not all is reclaimed yet", 100 * mib, true, "138412032", "",
			"memory waits: it uses 100 MiB, and shall have 64 MiB at most; free memory in it, or restart it"},
		{"a large one", 800 * mib, false, "943718400", "",
			"memory waits: it uses 800 MiB, and shall have 64 MiB at most; free memory in it, or restart it"},
		{"nearly", 62 * mib, true, "65011712", "67108864",
			"memory waits: it uses 62 MiB, and shall have 60 MiB at most; free memory in it, or restart it"},
	} {
		now, waits := Fit(list, c.use, c.more)
		got := map[string]string{}
		for _, s := range now {
			got[s.File] = s.Value
		}
		if got["memory.high"] != c.high || got["memory.max"] != c.max || got["memory.min"] != "8388608" || got["pids.max"] != "1024" {
			t.Errorf("%s: %v", c.name, now)
		}
		if c.waits == "" && waits != nil || c.waits != "" && (waits == nil || waits.Error() != c.waits) {
			t.Errorf("%s: waits %v, want %q", c.name, waits, c.waits)
		}
		if err := fmt.Errorf("x: %w", waits); waits != nil && !errors.As(err, new(Waits)) {
			t.Errorf("%s: %T is no Waits", c.name, waits)
		}
	}
	if fmt.Sprint(list) != fmt.Sprint(Settings(host.Limits{MemoryMin: 8 * mib, MemoryHigh: 60 * mib, MemoryMax: 64 * mib}, 0, nil)) {
		t.Error("the list was changed")
	}
}
