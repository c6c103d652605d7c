//go:build !linux

package filecopy

import (
	"errors"
	"os"
)

// listAttributes knows of none.
func listAttributes(*os.File) ([]string, error) { return nil, nil }

func getAttribute(*os.File, string) (string, error) { return "", errors.ErrUnsupported }

func setAttribute(*os.File, string, string) error { return errors.ErrUnsupported }
