package slots

import (
	"errors"
	"fmt"
	"os"

	"hardnode.dev/internal/disk/efi"
	"hardnode.dev/internal/release/authenticode"
)

// believed tells why this machine's firmware would not start a system, or nil: where secure boot is off it starts any.
func believed(vars efi.Vars, file string) error {
	if vars.SecureBoot() != efi.On {
		return nil
	}
	db, err1 := vars.Believed(efi.DB)
	dbx, err2 := vars.Believed(efi.DBX)
	if err := errors.Join(err1, err2); err != nil {
		return fmt.Errorf("secure boot is on, and what the firmware believes can't be read: %w", err)
	}
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return err
	}
	err = authenticode.Check(f, st.Size(), authenticode.Believed{Certificates: db.Certificates, Refused: dbx.Certificates,
		Digests: db.Digests, RefusedDigests: dbx.Digests})
	if err != nil {
		err = fmt.Errorf("secure boot is on, and the firmware would not start this system: %w; sign the release with a key that it "+
			"believes (image release sign --secure-boot)", err)
	}
	return err
}
