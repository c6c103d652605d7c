package assemble

import (
	"fmt"
	"os"
	"strings"
)

// row is one line of the size table.
type row struct {
	name  string
	bytes int
}

func mib(n int) float64 { return float64(n) / (1 << 20) }

// Sizes writes sizes.txt and fails when the host profile is over its budget, in bytes.
func (b Builder) Sizes(budget int, host, infra []Part, inside []row) error {
	st, err := os.Stat(b.in("vmlinuz"))
	if err != nil {
		return fmt.Errorf("measure the kernel: %v", err)
	}
	text, total := sizes(budget, int(st.Size()), host, infra, inside)
	if err := replace(b.in("sizes.txt"), []byte(text), 0o644); err != nil {
		return err
	}
	for line := range strings.Lines(text) {
		b.Log("%s", strings.TrimRight(line, "\n"))
	}
	return within(total, budget)
}

// within says whether a host profile of n bytes is within the budget.
func within(n, budget int) error {
	if n > budget {
		return fmt.Errorf("host profile: kernel and initramfs are %.1f MiB, the budget is %.0f MiB: take something out (sizes.txt)",
			mib(n), mib(budget))
	}
	return nil
}

func sizes(budget, kernel int, host, infra []Part, inside []row) (text string, hostTotal int) {
	var s strings.Builder
	line := func(name string, n int) { fmt.Fprintf(&s, "%-34s %7.1f MiB\n", name, mib(n)) }
	line("vmlinuz", kernel)
	hostTotal = kernel
	for _, p := range host {
		line(p.Name, len(p.Data))
		hostTotal += len(p.Data)
	}
	line(fmt.Sprintf("host profile (budget %.0f MiB)", mib(budget)), hostTotal)
	total := hostTotal
	for _, p := range infra {
		line(p.Name, len(p.Data))
		total += len(p.Data)
	}
	line("infra profile", total)
	s.WriteString("of root.erofs, before compression:\n")
	for _, r := range inside {
		line("  "+r.name, r.bytes)
	}
	return s.String(), hostTotal
}
