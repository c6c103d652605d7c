package harness

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"sync"
	"time"

	"hardnode.dev/qemu-tests/harness/ask"
	"hardnode.dev/qemu-tests/harness/initramfs"
)

// AddProbe makes c's VM one that can be asked about its inside (VM.Ask): the probe is one more initrd part, the image is as shipped.
// dir is where the part is built.
func AddProbe(ctx context.Context, c *Config, dir string) error {
	root, err := Root()
	if err != nil {
		return err
	}
	bin, part := filepath.Join(dir, "probe"), filepath.Join(dir, "probe.cpio")
	if err := goTool(ctx, root, "build", "-o", bin, "./qemu-tests/probe"); err != nil {
		return err
	}
	a := initramfs.NewArchive()
	if err := a.Copy("/probe", bin); err != nil {
		return err
	}
	if err := a.Write(part); err != nil {
		return fmt.Errorf("write %s: %v", part, err)
	}
	c.Initrd = append(append([]string{}, c.Initrd...), part)
	c.Append += " rdinit=/probe"
	return nil
}

// prober is our end of the probe's port: one question at a time.
type prober struct {
	mu   sync.Mutex
	conn net.Conn
	dec  *json.Decoder
	last int // ID of the last request
}

// Ask puts one question to the probe (AddProbe) and waits for its answer.
func (vm *VM) Ask(ctx context.Context, q ask.Request) (ask.Answer, error) {
	p := vm.probe
	p.mu.Lock()
	defer p.mu.Unlock()
	a, err := p.ask(ctx, q)
	if err == nil && a.Err != "" {
		err = errors.New(a.Err)
	}
	if err != nil {
		if why := vm.Err(); why != nil {
			err = why
		}
		return a, fmt.Errorf("vm %s: ask %s: %w", vm.Config.Name, q.What, err)
	}
	return a, nil
}

func (p *prober) ask(ctx context.Context, q ask.Request) (a ask.Answer, err error) {
	deadline := time.Now().Add(20 * time.Second * Scale())
	if d, ok := ctx.Deadline(); ok && d.Before(deadline) {
		deadline = d
	}
	p.conn.SetDeadline(deadline)
	p.last++
	q.ID = p.last
	if err := json.NewEncoder(p.conn).Encode(q); err != nil {
		return a, err
	}
	for a.ID != q.ID { // an answer nobody waited for any more may come first
		a = ask.Answer{}
		if err := p.dec.Decode(&a); err != nil {
			p.dec = json.NewDecoder(p.conn) // it would say the same for ever: the host may answer the next one, booted anew perhaps
			return a, err
		}
	}
	return a, nil
}
