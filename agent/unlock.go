package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"sync"

	"hardnode.dev/agent/vault"
	"hardnode.dev/internal/secret"
	"hardnode.dev/internal/wire/boot"
	"hardnode.dev/internal/wire/upkeep"
)

// unlockNext is what a person can do at a host whose STATE is locked.
const unlockNext = "type unlock KEY here (the recovery key that the installation showed), undo the change, or install again from a medium"

// unlock opens STATE, and tells init on the last line how that went: boot.Opened and the device, or the reason why not.
func unlock(v *vault.Vault) error {
	path, note, err := v.Open()
	if err != nil {
		fmt.Println(strings.ReplaceAll(err.Error(), "\n", "; "))
		return nil
	}
	fmt.Printf("%s%s %s\n", boot.Opened, path, note)
	return nil
}

// locked is why STATE is locked in this boot; nil: it is not.
func locked() (*boot.Locked, error) {
	raw, err := os.ReadFile(boot.LockedFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var l boot.Locked
	if err == nil {
		err = json.Unmarshal(raw, &l)
	}
	if err != nil {
		return nil, fmt.Errorf("read why STATE is locked: %w", err)
	}
	return &l, nil
}

// unlocker opens STATE by a recovery key, one guess at a time, and has the host reboot.
func unlocker(l boot.Locked, leave func(context.Context, upkeep.Leave) error) func(context.Context, secret.Text, string) error {
	var one sync.Mutex
	return func(ctx context.Context, key secret.Text, by string) error {
		one.Lock()
		defer one.Unlock()
		if err := vault.Of(l.Partition).Recover(key); err != nil {
			return err
		}
		return leave(ctx, upkeep.Leave{By: by, Reason: "STATE was unlocked by its recovery key"})
	}
}
