package machine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"hardnode.dev/internal/disk"
	"hardnode.dev/internal/wire/boot"
)

// unlockWithin bounds what a TPM may take: there are some that need minutes to fail.
const unlockWithin = time.Minute

// openState is STATE's devices in the clear: its partitions themselves, unless they are encrypted. note is for people. Its error is why
// STATE is locked.
func (m *Machine) openState(ctx context.Context, partitions []string) (devices []string, note string, err error) {
	if len(partitions) != 1 { // none, or a mirror, which is never encrypted
		return partitions, "", nil
	}
	encrypted, err := disk.Encrypted(partitions[0])
	if err != nil || !encrypted {
		return partitions, "", err
	}
	ctx, cancel := context.WithTimeout(ctx, unlockWithin)
	defer cancel()
	said, err := m.procs.Output(ctx, programs+"agent", "-unlock", partitions[0])
	if err != nil {
		return nil, "", err
	}
	device, note, err := opened(said)
	if err != nil {
		return nil, "", err
	}
	return []string{device}, "; STATE is encrypted, " + note, nil
}

// opened reads the last line of what the agent said: what comes before it is its log.
func opened(said string) (device, note string, err error) {
	last := said[strings.LastIndexByte(said, '\n')+1:]
	rest, ok := strings.CutPrefix(last, boot.Opened)
	if !ok {
		return "", "", errors.New(last)
	}
	device, note, _ = strings.Cut(rest, " ")
	return device, note, nil
}

// lock goes on with a host whose STATE can't be opened: it touches no disk, runs no containers, and stays up for whoever has the recovery
// key, as the rescue system does.
func (m *Machine) lock(ctx context.Context, partition string, why error) (string, error) {
	m.rescue = true
	raw, err := json.Marshal(boot.Locked{Partition: partition, Reason: why.Error()})
	if err != nil {
		return "", err
	}
	if err := os.WriteFile(boot.LockedFile, raw, 0o600); err != nil {
		return "", fmt.Errorf("say that STATE is locked: %w", err)
	}
	m.con.Line("STATE on %s is locked: %v", partition, why)
	return m.useData(ctx, disk.Choice{Action: disk.RAM, Reason: "STATE is locked; no disk is touched"})
}
