// Package pull makes the HTTP request with which a host fetches a template from the registry.
//
// Owns: the one request of the host dialect that is more than a path. It is apart from package host so that PID 1, which speaks host's
// types, does not carry net/http and TLS.
// In: the registry's address, a digest, how many bytes are there already.
// Out: a request to be sent with the host's certificate.
// Never: sends it.
package pull

import (
	"fmt"
	"net/http"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
)

// NewImageRequest is a request for the erofs file d from the registry at addr (host:port), from the given byte on: what a host sends to
// fetch a template, and to go on after a broken transfer.
func NewImageRequest(addr string, d wire.Digest, from int64) (*http.Request, error) {
	if err := d.Validate(); err != nil {
		return nil, err
	}
	req, err := http.NewRequest(http.MethodGet, "https://"+addr+host.ImagePath(d), nil)
	if err != nil {
		return nil, fmt.Errorf("request image %s from %q: %v", d, addr, err)
	}
	if from > 0 {
		req.Header.Set("Range", fmt.Sprintf("bytes=%d-", from))
		req.Header.Set("If-Range", `"`+string(d)+`"`)
	}
	return req, nil
}
