package main

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
)

const (
	passes = `{"Action":"start","Package":"a"}
{"Action":"run","Package":"a","Test":"TestOne"}
{"Action":"output","Package":"a","Test":"TestOne","Output":"=== RUN   TestOne\n"}
{"Action":"output","Package":"a","Test":"TestOne","Output":"    FIGURE boot: 5.0 s\n"}
{"Action":"output","Package":"a","Test":"TestOne","Output":"--- PASS: TestOne (2.50s)\n"}
{"Action":"pass","Package":"a","Test":"TestOne","Elapsed":2.5}
{"Action":"output","Package":"a","Output":"PASS\n"}
{"Action":"output","Package":"a","Output":"ok  \ta\t3.000s\n"}
{"Action":"pass","Package":"a","Elapsed":3}
`
	fails = `{"Action":"run","Package":"b","Test":"TestTwo"}
{"Action":"output","Package":"b","Test":"TestTwo","Output":"=== RUN   TestTwo\n"}
{"Action":"output","Package":"b","Test":"TestTwo","Output":"the console said: panic\n"}
{"Action":"output","Package":"b","Test":"TestTwo/part","Output":"part is wrong\n"}
{"Action":"fail","Package":"b","Test":"TestTwo/part","Elapsed":1}
{"Action":"output","Package":"b","Test":"TestTwo","Output":"--- FAIL: TestTwo (1.50s)\n"}
{"Action":"fail","Package":"b","Test":"TestTwo","Elapsed":1.5}
{"Action":"output","Package":"b","Output":"FAIL\n"}
{"Action":"output","Package":"b","Output":"FAIL\tb\t1.600s\n"}
{"Action":"fail","Package":"b","Elapsed":1.6}
`
)

// Packages that run beside each other are shown one after the other, each whole; nothing is lost when the run is cut off.
func TestSideBySide(t *testing.T) {
	line := func(pkg, text string) string {
		return fmt.Sprintf(`{"Action":"output","Package":%q,"Test":"T","Output":"%s\n"}`+"\n", pkg, text)
	}
	end := func(pkg string) string { return fmt.Sprintf(`{"Action":"pass","Package":%q,"Elapsed":1}`+"\n", pkg) }
	for _, c := range []struct{ name, in, want string }{
		{"the first ends last", line("a", "a1") + line("b", "b1") + line("a", "a2") + line("b", "b2") + end("b") + line("a", "a3") +
			end("a"), "a1 a2 a3 b1 b2"},
		{"the first ends first", line("a", "a1") + line("b", "b1") + line("a", "a2") + end("a") + line("b", "b2") + end("b"),
			"a1 a2 b1 b2"},
		{"three", line("a", "a1") + line("b", "b1") + line("c", "c1") + end("b") + line("c", "c2") + end("a") + line("c", "c3") + end("c"),
			"a1 b1 c1 c2 c3"},
		{"cut off", line("a", "a1") + line("b", "b1") + line("a", "a2"), "a1 a2 --- never ended: b b1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var out strings.Builder
			run(strings.NewReader(c.in), &out, true, "", "", "", 20)
			said, _, _ := strings.Cut(out.String(), "\nslowest")
			if got := strings.Join(strings.Fields(said), " "); got != c.want {
				t.Errorf("shown %q, want %q", got, c.want)
			}
		})
	}
}

func TestRun(t *testing.T) {
	for _, c := range []struct {
		name, in, lines string
		verbose         bool
		status          int
		err             string
		has, hasNot     []string
	}{
		{"quiet", passes, "", false, 0, "", []string{"ok  \ta\t3.000s\n", "2.50  a TestOne\n",
			"1 tests in 1 packages, 0 tests and 0 packages failed; they took 3.0 s"}, []string{"FIGURE", "RUN", "PASS"}},
		{"verbose", passes, "", true, 0, "", []string{"=== RUN   TestOne\n", "FIGURE boot", "ok  \ta"}, nil},
		{"lines of what passes", passes, "FIGURE", false, 0, "", []string{"FIGURE boot: 5.0 s\n"}, []string{"RUN", "ok  "}},
		{"all of what fails", passes + fails, "FIGURE", false, 1, "",
			[]string{"FIGURE boot", "the console said: panic\n", "part is wrong\n", "--- FAIL: TestTwo", "FAIL\tb\t1.600s",
				"1.50  b TestTwo  fail\n", "1 tests and 1 packages failed"}, []string{"RUN   TestOne"}},
		{"a build", `{"ImportPath":"c","Action":"build-output","Output":"c.go:1: undefined: x\n"}
{"ImportPath":"c","Action":"build-fail"}
{"Action":"output","Package":"c","Output":"FAIL\tc [build failed]\n"}
{"Action":"fail","Package":"c","Elapsed":0,"FailedBuild":"c"}
`, "FIGURE", false, 1, "", []string{"c.go:1: undefined: x\n", "FAIL\tc [build failed]\n"}, nil},
		{"a program that died in a test", `{"Action":"output","Package":"d","Test":"TestX","Output":"panic: out of luck\n"}
{"Action":"output","Package":"d","Output":"exit status 2\nFAIL\td\n"}
{"Action":"fail","Package":"d","Elapsed":0.1}
`, "FIGURE", false, 1, "", []string{"panic: out of luck\n", "FAIL\td\n"}, nil},
		{"cut off", strings.Join(strings.SplitAfter(fails, "\n")[:3], ""), "FIGURE", false, 1, "ended before its tests",
			[]string{"never ended: b TestTwo\n", "the console said: panic"}, nil},
		{"not run", "", "", false, 1, "did not run", nil, nil},
		{"go's own words", "go: cannot find main module\n", "", false, 1, "did not run", []string{"cannot find main module"}, nil},
		{"cached", `{"Action":"output","Package":"e","Output":"ok  \te\t(cached)\n"}
{"Action":"pass","Package":"e","Elapsed":9}
`, "", false, 0, "", []string{"9.00  e  (cached)\n", "they took 0.0 s together"}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			var out strings.Builder
			record := filepath.Join(t.TempDir(), "seconds")
			status, err := run(strings.NewReader(c.in), &out, c.verbose, c.lines, record, "", 20)
			if status != c.status || (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
				t.Errorf("got status %d, %v; want %d, %q", status, err, c.status, c.err)
			}
			for _, s := range c.has {
				if !strings.Contains(out.String(), s) {
					t.Errorf("%q is missing in:\n%s", s, out.String())
				}
			}
			for _, s := range c.hasNot {
				if strings.Contains(out.String(), s) {
					t.Errorf("%q is in:\n%s", s, out.String())
				}
			}
			if err != nil {
				return
			}
			var again strings.Builder
			if _, err := run(nil, &again, false, "", "", record, 20); err != nil || !strings.HasSuffix(out.String(), again.String()) {
				t.Errorf("the record says %q, %v", again.String(), err)
			}
		})
	}
}
