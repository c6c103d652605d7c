package assemble

import "strings"

// argument is one kernel argument every host boots with. Arguments that name a machine's own hardware (console=…) or its place
// (hardnode.config=…) are added by whoever boots it.
type argument struct{ text, reason string }

var arguments = []argument{
	{"panic=10", "a host whose stage 1 fails comes back by itself; from then on init says the same"},
	{"hardnode.mem=3G", "says nothing to the kernel: iPXE takes the first mem= that it finds for mem=, also the end of reserve_mem="},
	{"reserve_mem=128K:4096:hardnode", "ramoops keeps the kernel's last words there where the firmware does not: a reboot leaves it"},
	{"transparent_hugepage=madvise", "small Go programs would pay 2 MiB for a few KiB, init too; databases ask for huge pages themselves"},
	{"cryptomgr.notests", "0.3 s of an emulated boot: self-tests find faulty drivers of crypto hardware, and the image carries none"},
}

func cmdline(args []argument) string {
	var words []string
	for _, a := range args {
		words = append(words, a.text)
	}
	return strings.Join(words, " ") + "\n"
}

// Cmdline writes image/cmdline, the kernel command line that belongs to the image.
func (b Builder) Cmdline() error {
	return replace(b.in("cmdline"), []byte(cmdline(arguments)), 0o644)
}
