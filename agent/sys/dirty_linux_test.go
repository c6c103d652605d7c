package sys

import "testing"

func TestDirty(t *testing.T) {
	for text, want := range map[string]int64{
		"MemFree: 9 kB\nDirty:               120 kB\nWriteback:             8 kB\nWritebackTmp:        7 kB\n": 128 << 10,
		"Dirty: 0 kB\nWriteback: 0 kB\n": 0,
		"Dirty: 1 kB\n":                  -1,
		"Dirty: x kB\nWriteback: 0 kB\n": -1,
		"":                               -1,
	} {
		n, err := dirty(text)
		if err != nil {
			n = -1
		}
		if n != want {
			t.Errorf("%q: %d bytes, %v; want %d", text, n, err, want)
		}
	}
	if n, err := Dirty(); err != nil || n < 0 {
		t.Errorf("of this machine: %d, %v", n, err)
	}
}
