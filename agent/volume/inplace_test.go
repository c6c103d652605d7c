package volume

import "testing"

func TestDescribed(t *testing.T) {
	for path, want := range map[string]string{"ct/102/vol-db": "volume db of node 102",
		"snap/102/20261127-100000/vol-db": "volume db of node 102 in snapshot 20261127-100000"} {
		if got := described(path); got != want {
			t.Errorf("%s: %q, want %q", path, got, want)
		}
	}
}
