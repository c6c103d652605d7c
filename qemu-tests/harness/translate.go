package harness

import (
	"context"
	"encoding/json"
	"fmt"
	"regexp"
	"strconv"
	"time"
)

// translateMiB is the most that QEMU takes for code it has translated, on this kind of machine; without it, 1,024. When it is full, all of
// it is thrown away, and whatever runs next is several times slower until its code is translated again.
const translateMiB = 2048

var emptied = regexp.MustCompile(`TB flush count +(\d+)`)

// countEmptied reads from QEMU's account of its translations how often it threw all of them away.
func countEmptied(answer []byte) (int, error) {
	var text struct {
		Text string `json:"human-readable-text"`
	}
	if err := json.Unmarshal(answer, &text); err != nil {
		return 0, fmt.Errorf("read QEMU's account of its translations: %v", err)
	}
	m := emptied.FindStringSubmatch(text.Text)
	if m == nil {
		return 0, fmt.Errorf("read QEMU's account of its translations: no number of times in %q", text.Text)
	}
	return strconv.Atoi(m[1])
}

// watchEmptied looks when the emulator throws its translations away, until the VM has ended; tell waits for that, and says it. What
// a guest measured around then is no figure of the product.
func (vm *VM) watchEmptied(ctx context.Context) (tell func() string) {
	var at []string
	times, why := -1, error(nil)
	over := make(chan struct{})
	go func() {
		defer close(over)
		every := time.NewTicker(time.Second)
		defer every.Stop()
		for {
			select {
			case <-vm.done:
				return
			case <-every.C:
			}
			answer, err := vm.qmp.Ask(ctx, "x-query-jit", "{}")
			n := 0
			if err == nil {
				n, err = countEmptied(answer)
			}
			if err != nil { // the last question's too, when the VM ends under it
				why = err
				continue
			}
			if n > max(times, 0) {
				at = append(at, time.Since(vm.Started).Round(time.Second).String())
			}
			times = n
		}
	}()
	return func() string {
		<-over
		if times < 0 {
			return fmt.Sprintf("nobody knows how often the emulator threw its translations away: %v", why)
		}
		return fmt.Sprintf("times that the emulator threw its translations away: %d %v", times, at)
	}
}
