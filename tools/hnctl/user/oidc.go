package user

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"runtime"
	"time"

	"github.com/spf13/cobra"

	"hardnode.dev/internal/identity"
	"hardnode.dev/internal/secret"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/oidc"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/internal/wire/user"
	"hardnode.dev/tools/hnctl/app"
	"hardnode.dev/tools/hnctl/client"
	"hardnode.dev/tools/hnctl/config"
)

// browserTime is how long hnctl waits for who signs in.
const browserTime = 10 * time.Minute

// byBrowser signs in with the identity provider: a browser is sent to the panel, and from there back to a port of this machine
// (RFC 8252, section 7.3). What comes back is good only with what the challenge was made of, which never leaves hnctl.
func byBrowser(cmd *cobra.Command, a *app.App, f config.File, at config.Config, account wire.Account, file string) error {
	ctx, cancel := context.WithTimeout(cmd.Context(), browserTime)
	defer cancel()
	orchestrator := client.Orchestrator(at.Servers, identity.Trust{Pin: at.CAPin, Cluster: at.Cluster}, "")
	var ways oidc.SignInWays
	asked, done := a.Limit(ctx)
	defer done()
	if err := orchestrator.Call(asked, http.MethodGet, operator.Prefix+"/sign-in", nil, &ways); err != nil {
		return err
	}
	if ways.Oidc == nil {
		return app.WithCode(app.ExitConflict, errors.New("the cluster has no identity provider: sign in with hnctl login MAIL"))
	}
	verifier, state := random(), random()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("wait for the browser: %v", err)
	}
	defer l.Close()
	sum := sha256.Sum256([]byte(verifier))
	q := url.Values{"port": {fmt.Sprint(l.Addr().(*net.TCPAddr).Port)}, "state": {state},
		"challenge": {base64.RawURLEncoding.EncodeToString(sum[:])}}
	address := ways.Oidc.Hnctl + "?" + q.Encode()
	a.Say("sign in with %s in a browser on this machine: %s", ways.Oidc.Name, address)
	browse(address)
	ticket, err := awaited(ctx, l, state)
	if err != nil {
		return err
	}
	in, got := oidc.OidcSignIn{Ticket: ticket, Verifier: secret.Text(verifier), Account: account}, user.SignedIn{}
	take := func() error {
		ctx, cancel := a.Limit(ctx)
		defer cancel()
		return orchestrator.Call(ctx, http.MethodPost, operator.Prefix+"/sessions/oidc", in, &got)
	}
	err = take()
	if p := (*operator.Problem)(nil); errors.As(err, &p) && p.Object == oidc.CodeNeeded {
		codes, wrong := secrets(ctx, cmd, a, file, code)
		if wrong != nil {
			return wrong
		}
		in.Code = codes[0]
		err = take()
	}
	if err != nil {
		return err
	}
	return enter(cmd, a, f, at, got)
}

func random() string {
	raw := make([]byte, 32)
	rand.Read(raw) // never fails (crypto/rand)
	return base64.RawURLEncoding.EncodeToString(raw)
}

// browse opens an address where the person can see it. Where that does not work they open it themselves.
func browse(address string) {
	name, args := os.Getenv("BROWSER"), []string{address}
	switch {
	case name != "":
	case runtime.GOOS == "darwin":
		name = "open"
	case runtime.GOOS == "windows":
		name, args = "rundll32", []string{"url.dll,FileProtocolHandler", address}
	case os.Getenv("DISPLAY") != "" || os.Getenv("WAYLAND_DISPLAY") != "":
		name = "xdg-open"
	default:
		return
	}
	c := exec.Command(name, args...)
	if c.Start() == nil {
		go c.Wait()
	}
}

// awaited is the ticket that the browser brings. What does not bring the state is not from the sign-in that was begun here.
func awaited(ctx context.Context, l net.Listener, state string) (secret.Text, error) {
	got := make(chan secret.Text, 1)
	s := &http.Server{ReadTimeout: 10 * time.Second, WriteTimeout: 10 * time.Second, MaxHeaderBytes: 16 << 10,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			q := r.URL.Query()
			w.Header().Set("Content-Type", "text/plain; charset=utf-8")
			w.Header().Set("Cache-Control", "no-store")
			w.Header().Set("Connection", "close")
			if r.Method != http.MethodGet || r.URL.Path != "/" || q.Get("state") != state || q.Get("ticket") == "" {
				http.Error(w, "This is not the sign-in that hnctl began.", http.StatusBadRequest)
				return
			}
			fmt.Fprintln(w, "hnctl has what it needs. You may close this page.")
			select {
			case got <- secret.Text(q.Get("ticket")):
			default:
			}
		})}
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(l) }()
	defer func() {
		bye, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second) // the answer is on its way
		defer cancel()
		s.Shutdown(bye)
		<-ended
	}()
	select {
	case t := <-got:
		return t, nil
	case <-ctx.Done():
		return "", errors.New("nobody signed in within " + browserTime.String() + "; nothing was changed")
	}
}
