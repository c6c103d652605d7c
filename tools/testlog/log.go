package main

import (
	"bufio"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// event is one line of `go test -json` (go doc test2json); build events have ImportPath in place of Package (go help buildjson).
type event struct {
	Action     string
	Package    string
	ImportPath string
	Test       string
	Elapsed    float64 // seconds
	Output     string
}

// took is how long a test or, with an empty Test, a package took.
type took struct {
	seconds       float64
	pkg, test     string
	result        string // pass, fail or skip
	cachedPackage bool
}

// log is one run of go test.
type log struct {
	out     *bufio.Writer
	verbose bool
	lines   *regexp.Regexp

	held   map[string]*strings.Builder // output of what is not over yet, by package and test
	turn   string                      // verbose: the package whose lines are shown as they come
	behind []string                    // verbose: packages that run beside it, whose lines are held until their turn comes
	cached map[string]bool
	done   []took
	failed bool
	events int
}

func (l *log) read(in io.Reader) error {
	l.held, l.cached = map[string]*strings.Builder{}, map[string]bool{}
	r := bufio.NewReaderSize(in, 64<<10)
	for {
		line, err := r.ReadString('\n')
		if line != "" {
			l.line(line)
		}
		if l.verbose || r.Buffered() == 0 {
			l.out.Flush()
		}
		switch {
		case errors.Is(err, io.EOF) && l.events == 0:
			return errors.New("go test said nothing: it did not run, see above")
		case errors.Is(err, io.EOF):
			return l.cutOff()
		case err != nil:
			return err
		}
	}
}

// cutOff shows what never came to an end, as when go test itself was killed.
func (l *log) cutOff() error {
	var open []string
	for key, b := range l.held {
		if b.Len() > 0 {
			open = append(open, key)
		}
	}
	slices.Sort(open)
	for _, key := range open {
		fmt.Fprintf(l.out, "--- never ended: %s\n%s", strings.TrimSuffix(key, " "), l.held[key])
	}
	if len(open) > 0 {
		return errors.New("go test ended before its tests")
	}
	return nil
}

func (l *log) line(line string) {
	var e event
	if !strings.HasPrefix(line, "{") || json.Unmarshal([]byte(line), &e) != nil {
		l.out.WriteString(line) // go's own words
		return
	}
	l.events++
	key := e.Package + " " + e.Test
	switch e.Action {
	case "output", "build-output":
		l.output(e, key)
	case "build-fail":
		l.failed = true
	case "pass", "skip", "fail":
		l.end(e, key)
	}
}

func (l *log) output(e event, key string) {
	l.cached[e.Package] = l.cached[e.Package] || e.Test == "" && strings.HasSuffix(strings.TrimRight(e.Output, "\n"), "(cached)")
	switch {
	case l.verbose && e.Package != "" && !l.speaks(e.Package):
		l.hold(e.Package+" ", e.Output)
	case l.verbose, e.Action == "build-output", l.lines != nil && l.lines.MatchString(e.Output):
		l.out.WriteString(e.Output)
	default:
		l.hold(key, e.Output)
	}
}

func (l *log) hold(key, text string) {
	if l.held[key] == nil {
		l.held[key] = &strings.Builder{}
	}
	l.held[key].WriteString(text)
}

// speaks tells whether a package's lines are shown as they come: one package's are at a time, so that lines of two are never mixed.
func (l *log) speaks(pkg string) bool {
	if l.turn == "" {
		l.turn = pkg
	}
	if l.turn != pkg && !slices.Contains(l.behind, pkg) {
		l.behind = append(l.behind, pkg)
	}
	return l.turn == pkg
}

// over passes the turn on when a package ends: first to those that ended meanwhile, whose lines are all there, then to the next that runs.
func (l *log) over(pkg string) {
	if l.turn != pkg {
		return
	}
	l.turn = ""
	for len(l.behind) > 0 && l.turn == "" {
		next := l.behind[0]
		l.behind = l.behind[1:]
		if b := l.held[next+" "]; b != nil {
			l.out.WriteString(b.String())
			delete(l.held, next+" ")
		}
		if !slices.ContainsFunc(l.done, func(t took) bool { return t.pkg == next && t.test == "" }) {
			l.turn = next
		}
	}
}

// end shows all that a failed test said, and the last words of a package.
func (l *log) end(e event, key string) {
	l.done = append(l.done, took{e.Elapsed, e.Package, e.Test, e.Action, l.cached[e.Package]})
	if l.failed = l.failed || e.Action == "fail"; l.verbose {
		if e.Test == "" {
			l.over(e.Package)
		}
		return
	}
	if b := l.held[key]; b != nil {
		switch text := b.String(); {
		case e.Action == "fail":
			l.out.WriteString(text)
		case e.Test == "" && l.lines == nil:
			l.out.WriteString(lastLine(text))
		}
		delete(l.held, key)
	}
	if e.Test == "" { // a test of it that never ended can't come to an end any more
		for open, b := range l.held {
			if strings.HasPrefix(open, e.Package+" ") {
				if e.Action == "fail" {
					l.out.WriteString(b.String())
				}
				delete(l.held, open)
			}
		}
	}
}

func lastLine(text string) string {
	lines := strings.SplitAfter(strings.TrimRight(text, "\n"), "\n")
	last := lines[len(lines)-1]
	if last == "PASS" || last == "" {
		return ""
	}
	return last + "\n"
}

// summary says what took longest. Tests inside tests are counted in those, and are left out.
func (l *log) summary(most int) {
	fmt.Fprintln(l.out)
	writeSlowest(l.out, l.done, most)
	l.out.Flush()
}

func writeSlowest(out io.Writer, all []took, most int) {
	var tests, packages []took
	failed, broken, sum := 0, 0, 0.0
	for _, t := range all {
		switch {
		case t.test == "":
			packages = append(packages, t)
			if t.result == "fail" {
				broken++
			}
			if !t.cachedPackage {
				sum += t.seconds
			}
		case !strings.Contains(t.test, "/"):
			tests = append(tests, t)
			if t.result == "fail" {
				failed++
			}
		}
	}
	for _, part := range []struct {
		what string
		of   []took
	}{{"tests", tests}, {"packages", packages}} {
		slices.SortStableFunc(part.of, func(a, b took) int { return cmp.Compare(b.seconds, a.seconds) })
		for i, t := range part.of[:min(most, len(part.of))] {
			if t.seconds < 0.01 {
				break
			}
			if i == 0 {
				fmt.Fprintf(out, "slowest %s (seconds):\n", part.what)
			}
			note := ""
			if t.result != "pass" {
				note = "  " + t.result
			}
			if t.cachedPackage {
				note += "  (cached)"
			}
			fmt.Fprintf(out, "%9.2f  %s%s\n", t.seconds, strings.TrimSpace(t.pkg+" "+t.test), note)
		}
	}
	fmt.Fprintf(out, "%d tests in %d packages, %d tests and %d packages failed; they took %.1f s together\n", len(tests), len(packages),
		failed, broken, sum)
}

// record adds what took how long to a file: seconds, result, cached, package, test.
func (l *log) record(path string) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return err
	}
	w := bufio.NewWriter(f)
	for _, t := range l.done {
		fmt.Fprintf(w, "%g\t%s\t%t\t%s\t%s\n", t.seconds, t.result, t.cachedPackage, t.pkg, t.test)
	}
	return errors.Join(w.Flush(), f.Close())
}

// slowest prints the summary of a file that record made.
func slowest(in io.Reader, out io.Writer, most int) error {
	var all []took
	s := bufio.NewScanner(in)
	for s.Scan() {
		f := strings.Split(s.Text(), "\t")
		if len(f) != 5 {
			return fmt.Errorf("line %d: has %d fields, want 5", len(all)+1, len(f))
		}
		seconds, err := strconv.ParseFloat(f[0], 64)
		if err != nil {
			return fmt.Errorf("line %d: %v", len(all)+1, err)
		}
		all = append(all, took{seconds, f[3], f[4], f[1], f[2] == "true"})
	}
	if err := s.Err(); err != nil {
		return err
	}
	writeSlowest(out, all, most)
	return nil
}
