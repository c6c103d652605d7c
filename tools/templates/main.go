// Command templates builds templates: OCI images made of files from Debian's packages.
//
// Owns: out/templates/<name>, an OCI image layout each, and the cache of packages beside them.
// In: tools/templates/<name>/template.yaml and the files beside it; Debian packages, fetched and verified by apt-get.
// Out: the same image for the same inputs; an error when a file is missing, a library is not there, or the image is too large.
// Never: runs anything of a package, needs root, or changes the machine.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"hardnode.dev/internal/keep"
	"hardnode.dev/internal/run"
)

// built is what the last build of a template was made of: <name>.json beside the layout.
type built struct {
	Inputs   string            `json:"inputs"`
	Digest   string            `json:"digest"` // of the OCI manifest
	Version  string            `json:"version"`
	Packages map[string]string `json:"packages"` // package → version
	Unpacked int64             `json:"unpacked"` // bytes
	Packed   int64             `json:"packed"`   // bytes
}

func main() {
	out := flag.String("out", "out/templates", "where the layouts go")
	fresh := flag.Bool("fresh", false, "download all packages anew")
	flag.Usage = func() {
		fmt.Fprintln(flag.CommandLine.Output(),
			"usage: templates [flags] FOLDER...\nbuilds the template described in each folder (tools/templates/nginx)")
		flag.PrintDefaults()
	}
	flag.Parse()
	if flag.NArg() == 0 {
		flag.Usage()
		os.Exit(2)
	}
	ctx, stop := run.UntilSignal(context.Background())
	defer stop()
	for _, dir := range flag.Args() {
		if err := build(ctx, dir, *out, *fresh); err != nil {
			fmt.Fprintln(os.Stderr, "templates:", err)
			os.Exit(1)
		}
	}
}

func build(ctx context.Context, dir, out string, fresh bool) error {
	start := time.Now()
	s, err := readSpec(dir)
	if err != nil {
		return err
	}
	say := func(format string, args ...any) { fmt.Printf("%s: %s\n", s.Name, fmt.Sprintf(format, args...)) }
	debs, err := fetch(ctx, filepath.Join(out, "packages"), s.Debian.Names(), fresh, say)
	if err != nil {
		return err
	}
	program, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find this program: %v", err)
	}
	in, err := inputs(program, dir, s, debs)
	if err != nil {
		return err
	}
	layoutDir, record := filepath.Join(out, string(s.Name)), filepath.Join(out, string(s.Name)+".json")
	if old, ok := last(record); ok && old.Inputs == in && exists(filepath.Join(layoutDir, "index.json")) {
		say("up to date, %s, %s", old.Version, old.Digest)
		return nil
	}
	b, err := assemble(s, dir, layoutDir, debs, say)
	if err != nil {
		return err
	}
	b.Inputs = in
	raw, err := json.MarshalIndent(b, "", "  ")
	if err != nil {
		return fmt.Errorf("record build: %v", err)
	}
	if err := keep.WriteFile(record, append(raw, '\n'), 0o644); err != nil {
		return err
	}
	say("%s in %s, %s", b.Version, layoutDir, b.Digest)
	say("%.1f MiB unpacked (limit %d), %.1f MiB packed, %s", mib(b.Unpacked), s.Debian.LimitMiB, mib(b.Packed),
		time.Since(start).Round(10*time.Millisecond))
	return nil
}

func last(record string) (b built, ok bool) {
	raw, err := os.ReadFile(record)
	return b, err == nil && json.Unmarshal(raw, &b) == nil
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

func mib(n int64) float64 { return float64(n) / (1 << 20) }
