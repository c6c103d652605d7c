package facts

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"hardnode.dev/internal/run/ask"
	"hardnode.dev/internal/wire/boot"
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
	return ask.To("netd", socket).Send(ctx, path, body, out)
}
