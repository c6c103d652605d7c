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
	body := []byte("{}")
	if t != nil {
		if body, err = json.Marshal(t); err != nil {
			return s, fmt.Errorf("ask netd: %v", err)
		}
	}
	err = tellNetd(ctx, socket, "/v1/network/"+how, body, &s)
	return s, err
}

// Configure gives netd the configuration of a host that waits for one, or has it checked only. It returns the host's name in it.
func Configure(ctx context.Context, document []byte, check bool) (name string, err error) {
	path := "/v1/config"
	if check {
		path += "?check=1"
	}
	var out struct {
		Name string `json:"name"`
	}
	err = tellNetd(ctx, boot.NetdSocket, path, document, &out)
	return out.Name, err
}

// tellNetd has netd do something and reads its answer.
func tellNetd(ctx context.Context, socket, path string, body []byte, out any) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second) // a lease may have to be given back
	defer cancel()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", socket)
		}}}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://netd"+path, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("ask netd: %v", err)
	}
	res, err := client.Do(req)
	if err != nil {
		return fmt.Errorf("ask netd: %v", err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		raw, _ := io.ReadAll(io.LimitReader(res.Body, 4<<10)) // what can't be read of a reason is not said
		return errors.New(strings.TrimSpace(string(raw)))
	}
	return neighbour.Read(res.Body, 1<<20, out)
}
