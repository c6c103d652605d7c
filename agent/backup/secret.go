package backup

import (
	"crypto/rand"
	"path/filepath"

	"hardnode.dev/internal/keep"
	"hardnode.dev/internal/logging"
)

// kept is what a host keeps of backups: the secret by which it knows the marks again that it gave.
//
// History: 2026-11-27 version 1.
type kept struct {
	Secret []byte `json:"secret"`
}

func (k *Keeper) doc() keep.Doc[kept] {
	return keep.Doc[kept]{Path: filepath.Join(k.Data, "backup.json"), Version: 1}
}

// secret is this host's. A new one costs no more than that a backup that was cut begins anew.
func (k *Keeper) secret() ([]byte, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	had, found, err := k.doc().Renew()
	if err != nil {
		k.Log.Warn("backups that were cut begin anew", logging.Err, err)
	}
	if found && len(had.Secret) > 0 {
		return had.Secret, nil
	}
	had.Secret = make([]byte, 32)
	rand.Read(had.Secret)
	return had.Secret, k.doc().Save(had)
}
