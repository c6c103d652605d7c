package main

import (
	"context"
	"fmt"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
)

// compare measures in turns, so that a disturbance meets all of them.
func compare(ctx context.Context, ports []int, rounds, seconds int) error {
	names := []string{"backend itself", "nginx as proxy", "resolver"}
	rate, p99 := make([][]float64, 3), make([]string, 3)
	for range rounds {
		for i, p := range ports {
			r, l, err := wrk(ctx, p, seconds)
			if err != nil {
				return err
			}
			rate[i], p99[i] = append(rate[i], r), l
		}
	}
	fmt.Printf("%-16s %12s %12s\n", "1000-byte answer", "requests/s", "p99 (last)")
	for i, n := range names {
		slices.Sort(rate[i])
		fmt.Printf("%-16s %12.0f %12s\n", n, rate[i][len(rate[i])/2], p99[i])
	}
	fmt.Printf("resolver / nginx: %.2f\n", rate[2][len(rate[2])/2]/rate[1][len(rate[1])/2])
	return nil
}

var (
	rateLine    = regexp.MustCompile(`Requests/sec:\s+([0-9.]+)`)
	latencyLine = regexp.MustCompile(`(?m)^\s+99%\s+(\S+)`)
	badLine     = regexp.MustCompile(`(?m)(Non-2xx.*|Socket errors.*)$`)
)

func wrk(ctx context.Context, port, seconds int) (rate float64, p99 string, err error) {
	out, err := exec.CommandContext(ctx, "wrk", "-t1", "-c32", fmt.Sprintf("-d%ds", seconds), "--latency", "-H", "Host: a.test",
		fmt.Sprintf("http://127.0.0.1:%d/", port)).CombinedOutput()
	if err != nil {
		return 0, "", fmt.Errorf("run wrk: %v: %s (Debian package wrk)", err, out)
	}
	r, l := rateLine.FindSubmatch(out), latencyLine.FindSubmatch(out)
	if r == nil || l == nil || badLine.Match(out) {
		return 0, "", fmt.Errorf("wrk saw errors:\n%s", out)
	}
	rate, err = strconv.ParseFloat(string(r[1]), 64)
	return rate, string(l[1]), err
}
