package harness

import "testing"

func TestCountEmptied(t *testing.T) {
	const answer = `{"human-readable-text": "Translation buffer state:\\ngen code size       8279251/1073736704\\n\\nStatistics:\\n` +
		`TB flush count      3\\nTB invalidate count 1820\\n[TCG profiler not compiled]\\n"}`
	if n, err := countEmptied([]byte(answer)); err != nil || n != 3 {
		t.Errorf("got %d %v, want 3", n, err)
	}
	for _, bad := range []string{`{"human-readable-text": "no statistics"}`, `{}`, `torn`} {
		if n, err := countEmptied([]byte(bad)); err == nil {
			t.Errorf("%s: got %d, want an error", bad, n)
		}
	}
}
