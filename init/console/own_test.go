package console

import "testing"

func TestWithoutTime(t *testing.T) {
	for line, want := range map[string]string{
		`time=2026-11-25T22:13:05.123Z level=WARN msg="orchestrator away" program=agent`: `level=WARN msg="orchestrator away" program=agent`,
		`time=2026-11-25T22:13:05.123456789+01:00 level=ERROR msg=x`:                     `level=ERROR msg=x`,
		`time="2026-11-25 22:13:05" level=error msg=x`:                                   `level=error msg=x`,
		`2026/11/25 22:13:05 http: TLS handshake error`:                                  `http: TLS handshake error`,
		`2026/11/25 22:13:05.123456 [WARN] memberlist: x`:                                `[WARN] memberlist: x`,
		`2026-11-25T22:13:05Z x`:                                                         `x`,
		`2026-11-25 22:13:05,123 x`:                                                      `x`,
		`2026-11-25 22:13:05.123 UTC [17] LOG:  x`:                                       `[17] LOG:  x`,
		`[2026-11-25 22:13:05] x`:                                                        `x`,
		`time=soon level=WARN`:                                                           `time=soon level=WARN`,
		`2026 hosts are away`:                                                            `2026 hosts are away`,
		`2026-11-25 is the day`:                                                          `2026-11-25 is the day`,
		`panic: time=2026-11-25T22:13:05Z`:                                               `panic: time=2026-11-25T22:13:05Z`,
		`goroutine 1 [running]:`:                                                         `goroutine 1 [running]:`,
		``:                                                                               ``,
	} {
		if got := WithoutTime(line); got != want {
			t.Errorf("%q: got %q, want %q", line, got, want)
		}
	}
}
