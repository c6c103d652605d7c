package supervise

import (
	"testing"
	"time"
)

func TestNext(t *testing.T) {
	for _, c := range []struct {
		name       string
		streak     int
		lived      time.Duration
		wait       time.Duration
		wantStreak int
	}{
		{"first quick exit: at once", 0, time.Second, 0, 1},
		{"second: the least wait", 1, time.Second, 250 * time.Millisecond, 2},
		{"third: double", 2, time.Second, 500 * time.Millisecond, 3},
		{"many: the most", 20, 9 * time.Second, 30 * time.Second, 21},
		{"a long life forgives", 20, 10 * time.Second, 0, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			wait, streak := next(c.streak, c.lived, 0.5)
			if wait != c.wait || streak != c.wantStreak {
				t.Errorf("got %v, %d; want %v, %d", wait, streak, c.wait, c.wantStreak)
			}
		})
	}
}

func TestParse(t *testing.T) {
	for _, c := range []struct {
		text string
		want message
		err  bool
	}{
		{"READY=1\nSTATUS=up\n", message{Ready: true, Status: "up", FDName: "stored"}, false},
		{"WATCHDOG=1", message{Beat: true, FDName: "stored"}, false},
		{"WATCHDOG=trigger", message{Trigger: true, FDName: "stored"}, false},
		{"WATCHDOG_USEC=2000000", message{Interval: 2 * time.Second, FDName: "stored"}, false},
		{"FDSTORE=1\nFDNAME=ct-100", message{Store: true, FDName: "ct-100"}, false},
		{"FDSTOREREMOVE=1\nFDNAME=ct-100", message{Remove: true, FDName: "ct-100"}, false},
		{"STATUS=\x1b[2Jhi\x07", message{Status: "[2Jhi", FDName: "stored"}, false},
		{"X_NEW=1", message{FDName: "stored"}, false},
		{"nonsense", message{}, true},
		{"FDNAME=a:b", message{}, true},
		{"WATCHDOG_USEC=1", message{}, true},
		{"EXTEND_TIMEOUT_USEC=20000000\nSTATUS=2 left", message{Extend: 20 * time.Second, Status: "2 left", FDName: "stored"}, false},
		{"EXTEND_TIMEOUT_USEC=0", message{}, true},
		{"EXTEND_TIMEOUT_USEC=soon", message{}, true},
		{"EXTEND_TIMEOUT_USEC=99999999999999999999", message{}, true},
	} {
		got, err := parse(c.text)
		if (err != nil) != c.err || err == nil && got != c.want {
			t.Errorf("parse(%q) = %+v, %v; want %+v, error %v", c.text, got, err, c.want, c.err)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("READY=1\nFDNAME=x\nWATCHDOG_USEC=5000")
	f.Fuzz(func(t *testing.T, text string) {
		m, err := parse(text)
		if err == nil && !validFDName(m.FDName) {
			t.Errorf("name %q came through", m.FDName)
		}
	})
}

func TestInCgroup(t *testing.T) {
	for _, c := range []struct {
		text, path string
		want       bool
	}{
		{"0::/system/agent\n", "system/agent", true},
		{"0::/system/agent/sub\n", "system/agent", true},
		{"0::/system/agent2\n", "system/agent", false},
		{"1:name=x:/system/agent\n", "system/agent", false},
	} {
		if got := inCgroup(c.text, c.path); got != c.want {
			t.Errorf("inCgroup(%q, %q) = %v", c.text, c.path, got)
		}
	}
}

func TestExtended(t *testing.T) {
	began := time.Now()
	at := func(s int) time.Time { return began.Add(time.Duration(s) * time.Second) }
	for _, c := range []struct {
		name         string
		end, now     time.Time
		extend, most time.Duration
		want         time.Time
	}{
		{"later", at(10), at(5), 20 * time.Second, 100 * time.Second, at(25)},
		{"never sooner", at(10), at(1), time.Second, 100 * time.Second, at(10)},
		{"never later than the most", at(95), at(90), 20 * time.Second, 100 * time.Second, at(100)},
		{"not at all", at(10), at(5), 20 * time.Second, 0, at(10)},
		{"nothing asked", at(10), at(5), 0, 100 * time.Second, at(10)},
	} {
		if got := extended(began, c.end, c.now, c.extend, c.most); !got.Equal(c.want) {
			t.Errorf("%s: %v after the start, want %v", c.name, got.Sub(began), c.want.Sub(began))
		}
	}
}
