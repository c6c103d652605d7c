// Package ceiling is what a container may use in a second, and what of its memory may be swapped out.
//
// Owns: the type that host.Limits carries beside memory, CPU, tasks and disk space.
// In: numbers.
// Out: values; what the policy of swap says of a container with a memory limit.
// Never: reads what a container uses, or writes a limit to the kernel.
//
// History: 2026-11-27 version 1.
package ceiling

// Ceilings are limits that change while the container runs. 0 is none, but for Swap.
type Ceilings struct {
	// Bytes and operations a second from and to each disk that DATA lies on. What is read from the page cache counts for nothing.
	ReadBytes  int64 `json:"readBytes,omitempty"`
	WriteBytes int64 `json:"writeBytes,omitempty"`
	ReadOps    int64 `json:"readOps,omitempty"`
	WriteOps   int64 `json:"writeOps,omitempty"`
	// Bits a second that it receives and sends, from and to whomever.
	NetIn  int64 `json:"netIn,omitempty"`
	NetOut int64 `json:"netOut,omitempty"`
	// Swap is how many bytes of its memory may be swapped out to the host's compressed memory: 0 is what the policy says (SwapOf), NoSwap
	// none.
	Swap int64 `json:"swap,omitempty"`
}

// NoSwap is a Swap of nothing.
const NoSwap int64 = -1

// SwapOf is how many bytes of a container may be swapped out, -1 for as many as there is room for. The policy, where nothing is said: half
// of its memory limit. What does not answer any more shall be killed, not swap for minutes; what sleeps shall give memory back.
func (c Ceilings) SwapOf(memoryMax int64) int64 {
	switch {
	case c.Swap < 0:
		return 0
	case c.Swap > 0:
		return c.Swap
	case memoryMax <= 0:
		return -1
	}
	return memoryMax / 2
}
