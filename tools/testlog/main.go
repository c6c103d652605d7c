// Program testlog reads what `go test -json` says and prints what a person wants of it.
//
// Owns: which lines are shown, and the summary of what took how long.
// In: events on stdin (go doc test2json); a file of earlier summaries.
// Out: lines on stdout; status 1 when a test or a build failed, or when stdin was cut off.
// Never: hides why something failed: the whole output of what failed is shown.
package main

import (
	"bufio"
	"flag"
	"fmt"
	"io"
	"os"
	"regexp"
)

func main() {
	verbose := flag.Bool("v", false, "show all lines as they come")
	lines := flag.String("lines", "", "show lines that match this expression, of tests that pass too")
	record := flag.String("record", "", "file to which the seconds of each test are added")
	summary := flag.String("summary", "", "read no events: print the slowest of what such a file has")
	most := flag.Int("slowest", 20, "how many tests the summary has")
	flag.Parse()
	status, err := run(os.Stdin, os.Stdout, *verbose, *lines, *record, *summary, *most)
	if err != nil {
		fmt.Fprintln(os.Stderr, "testlog:", err)
		status = 1
	}
	os.Exit(status)
}

func run(in io.Reader, out io.Writer, verbose bool, lines, record, summary string, most int) (int, error) {
	if summary != "" {
		f, err := os.Open(summary)
		if err != nil {
			return 0, err
		}
		defer f.Close()
		return 0, slowest(f, out, most)
	}
	l := &log{out: bufio.NewWriter(out), verbose: verbose}
	defer l.out.Flush()
	if lines != "" {
		var err error
		if l.lines, err = regexp.Compile(lines); err != nil {
			return 0, err
		}
	}
	if err := l.read(in); err != nil {
		return 1, err
	}
	l.summary(most)
	if record != "" {
		if err := l.record(record); err != nil {
			return 1, err
		}
	}
	if l.failed {
		return 1, nil
	}
	return 0, nil
}
