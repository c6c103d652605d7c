package facts

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"hardnode.dev/internal/wire/boot"
	"hardnode.dev/internal/wire/neighbour"
)

// ChangeNetwork has netd try a network, or confirm or revert what it tries: how is "try", "confirm" or "revert". It returns what is in
// force then.
func ChangeNetwork(ctx context.Context, how string, t *boot.NetworkTrial) (s boot.NetworkStatus, err error) {
	return changeNetwork(ctx, boot.NetdSocket, how, t)
}

func changeNetwork(ctx context.Context, socket, how string, t *boot.NetworkTrial) (s boot.NetworkStatus, err error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second) // a lease may have to be given back
	defer cancel()
	body := []byte("{}")
	if t != nil {
		if body, err = json.Marshal(t); err != nil {
			return s, fmt.Errorf("ask netd: %v", err)
		}
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", socket)
		}}}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://netd/v1/network/"+how, bytes.NewReader(body))
	if err != nil {
		return s, fmt.Errorf("ask netd: %v", err)
	}
	res, err := client.Do(req)
	if err != nil {
		return s, fmt.Errorf("ask netd: %v", err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		raw, _ := io.ReadAll(io.LimitReader(res.Body, 4<<10)) // what can't be read of a reason is not said
		return s, errors.New(strings.TrimSpace(string(raw)))
	}
	return s, neighbour.Read(res.Body, 1<<20, &s)
}
