package harness

import (
	"context"
	"encoding/json"
	"fmt"
	"regexp"
	"strconv"
)

// translateMiB is the most that QEMU takes for code it has translated, on this kind of machine; without it, 1,024. When it is full, all of
// it is thrown away, and whatever runs next is several times slower until its code is translated again.
const translateMiB = 2048

var flushCount = regexp.MustCompile(`TB flush count +(\d+)`)

// countEmptied reads from QEMU's account of its translations how often it threw all of them away.
func countEmptied(answer []byte) (int, error) {
	var text struct {
		Text string `json:"human-readable-text"`
	}
	if err := json.Unmarshal(answer, &text); err != nil {
		return 0, fmt.Errorf("read QEMU's account of its translations: %v", err)
	}
	m := flushCount.FindStringSubmatch(text.Text)
	if m == nil {
		return 0, fmt.Errorf("read QEMU's account of its translations: no number of times in %q", text.Text)
	}
	return strconv.Atoi(m[1])
}

// emptied says how often the emulator threw its translations away: what a guest measured around then is no figure of the product. It is
// asked once, when all is measured: QEMU counts all it has translated to answer, and the guest stands still for that, 150 ms and more.
func (vm *VM) emptied(ctx context.Context) string {
	answer, err := vm.qmp.Ask(ctx, "x-query-jit", "{}")
	n := 0
	if err == nil {
		n, err = countEmptied(answer)
	}
	if err != nil { // the VM has ended under the question
		return fmt.Sprintf("nobody knows how often the emulator threw its translations away: %v", err)
	}
	return fmt.Sprintf("times that the emulator threw its translations away: %d", n)
}
