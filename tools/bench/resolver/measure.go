package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// load is a way to ask.
type load struct {
	name string
	run  func(ctx context.Context, b *site, p peer, seconds int) (found, error)
}

// found is what one measurement found.
type found struct {
	rate float64 // requests a second
	p99  string
}

var loads = []load{
	{"HTTP/1.1", func(ctx context.Context, _ *site, p peer, seconds int) (found, error) {
		return wrk(ctx, fmt.Sprintf("http://127.0.0.1:%d/", p.plain), seconds)
	}},
	{"HTTPS, HTTP/1.1", func(ctx context.Context, _ *site, p peer, seconds int) (found, error) {
		return wrk(ctx, fmt.Sprintf("https://localhost:%d/", p.secure), seconds)
	}},
	{"HTTPS, HTTP/2", h2load},
}

// ticks are the units of CPU time in /proc (USER_HZ; 100 on all of Linux's usual machines).
const ticks = 100

// compare measures in turns, so that a disturbance meets all of them.
func compare(ctx context.Context, b *site, peers []peer, rounds, seconds int) error {
	fmt.Printf("1000-byte answers, 32 connections kept, one core each, median of %d times %d s\n", rounds, seconds)
	for _, l := range loads {
		rate, each, p99 := make([][]float64, len(peers)), make([][]float64, len(peers)), make([]string, len(peers))
		for range rounds {
			for i, p := range peers {
				before, begin := cpu(p.pid), time.Now()
				f, err := l.run(ctx, b, p, seconds)
				if err != nil {
					return fmt.Errorf("%s, %s: %w", l.name, p.name, err)
				}
				took, used := time.Since(begin).Seconds(), cpu(p.pid)-before
				rate[i], each[i], p99[i] = append(rate[i], f.rate), append(each[i], f.rate*took/max(used, 1.0/ticks)), f.p99
			}
		}
		fmt.Printf("\n%-16s %12s %16s %12s %9s\n", l.name, "requests/s", "per CPU-second", "p99 (last)", "/ nginx")
		for i, p := range peers {
			of := median(each[i])
			fmt.Printf("%-16s %12.0f %16.0f %12s %9.2f\n", p.name, median(rate[i]), of, p99[i], of/median(each[0]))
		}
	}
	return nil
}

func median(of []float64) float64 {
	slices.Sort(of)
	return of[len(of)/2]
}

// cpu is the CPU time of a process and its children so far, in seconds.
func cpu(pid int) (seconds float64) {
	entries, _ := os.ReadDir("/proc")
	for _, e := range entries {
		id, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		raw, err := os.ReadFile("/proc/" + e.Name() + "/stat")
		if err != nil {
			continue
		}
		// proc(5): behind the name in brackets come state, parent, and with the 12th and 13th of these utime and stime.
		f := strings.Fields(string(raw[bytes.LastIndexByte(raw, ')')+1:]))
		if len(f) < 13 || id != pid && f[1] != strconv.Itoa(pid) {
			continue
		}
		user, _ := strconv.ParseFloat(f[11], 64)
		system, _ := strconv.ParseFloat(f[12], 64)
		seconds += (user + system) / ticks
	}
	return seconds
}

var (
	rateLine    = regexp.MustCompile(`Requests/sec:\s+([0-9.]+)`)
	latencyLine = regexp.MustCompile(`(?m)^\s+99%\s+(\S+)`)
	badLine     = regexp.MustCompile(`(?m)(Non-2xx.*|Socket errors.*)$`)
	h2Rate      = regexp.MustCompile(`finished in [^,]+, ([0-9.]+) req/s`)
	h2Bad       = regexp.MustCompile(`(\d+) failed, (\d+) errored, (\d+) timeout`)
	h2Codes     = regexp.MustCompile(`status codes: (\d+) 2xx, 0 3xx, 0 4xx, 0 5xx`)
)

func wrk(ctx context.Context, url string, seconds int) (found, error) {
	out, err := exec.CommandContext(ctx, "wrk", "-t1", "-c32", fmt.Sprintf("-d%ds", seconds), "--latency", "-H", "Host: a.test",
		url).CombinedOutput()
	if err != nil {
		return found{}, fmt.Errorf("run wrk: %v: %s (Debian package wrk)", err, out)
	}
	r, l := rateLine.FindSubmatch(out), latencyLine.FindSubmatch(out)
	if r == nil || l == nil || badLine.Match(out) {
		return found{}, fmt.Errorf("wrk saw errors:\n%s", out)
	}
	rate, err := strconv.ParseFloat(string(r[1]), 64)
	return found{rate, string(l[1])}, err
}

func h2load(ctx context.Context, b *site, p peer, seconds int) (found, error) {
	cmd := exec.CommandContext(ctx, b.program("usr/bin/h2load"), "-t1", "-c32", "-m4", fmt.Sprintf("-D%d", seconds),
		fmt.Sprintf("--connect-to=127.0.0.1:%d", p.secure), fmt.Sprintf("https://a.test:%d/", p.secure))
	cmd.Env = b.env
	out, err := cmd.CombinedOutput()
	if err != nil {
		return found{}, fmt.Errorf("run h2load: %v: %s", err, out)
	}
	r, bad := h2Rate.FindSubmatch(out), h2Bad.FindSubmatch(out)
	if r == nil || bad == nil || string(bad[1])+string(bad[2])+string(bad[3]) != "000" || !h2Codes.Match(out) {
		return found{}, fmt.Errorf("h2load saw errors:\n%s", out)
	}
	rate, err := strconv.ParseFloat(string(r[1]), 64)
	return found{rate, "-"}, err
}
