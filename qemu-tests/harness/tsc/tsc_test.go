package tsc

import (
	"runtime"
	"testing"
	"time"
)

// TestKHz: what was measured tells how much time passes, to one part in a hundred, which a kernel corrects by itself.
func TestKHz(t *testing.T) {
	khz := KHz()
	if khz == 0 {
		if runtime.GOARCH == "amd64" {
			t.Error("the counter can't be read")
		}
		t.Skip("no time stamp counter on " + runtime.GOARCH)
	}
	c1, t1 := now()
	time.Sleep(2 * span)
	c2, t2 := now()
	if again := rate(c2-c1, t2.Sub(t1)); again*100 < khz*99 || again*100 > khz*101 {
		t.Errorf("%d kHz, and measured again %d", khz, again)
	}
}

func TestRate(t *testing.T) {
	if r := rate(2_700_000, time.Millisecond); r != 2_700_000 {
		t.Errorf("2.7 million in a millisecond are %d kHz", r)
	}
}
