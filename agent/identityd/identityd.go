// Package identityd gives the platform's components their certificates.
//
// Owns: one Unix socket for each jelastic container on this host, RUN/ct/<ctid>/identity.sock, bound into that container only.
// In: certificate requests; the path of the socket says which container asks.
// Out: the chain the orchestrator signed for that container.
// Never: believes what a request says of its sender, sees a component's key, or serves containers of users.
//
// A running container holds the socket itself, not its path: the listening descriptors are kept by init (FDSTORE), so that a new agent
// goes on serving the same sockets.
package identityd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"hardnode.dev/internal/identity"
	"hardnode.dev/internal/logging"
	"hardnode.dev/internal/run/listen"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/neighbour"
)

// Keeper keeps listening descriptors over a restart of this program. It must not call f.Fd, which would make the socket blocking.
type Keeper interface {
	Keep(name string, f *os.File) error
	Drop(name string) error
}

// prefix of the descriptors' names with the Keeper.
const prefix = "identity-"

// Server serves the sockets. Make it with New.
type Server struct {
	dir    string
	ask    func(context.Context, host.ComponentRequest) (host.RenewReply, error)
	keeper Keeper
	log    *slog.Logger
	fresh  chan socket

	mu struct {
		sync.Mutex
		at map[wire.CTID]socket
	}
}

type socket struct {
	id   wire.CTID
	path string
	l    *net.UnixListener
}

// New makes a server below dir. ask passes a request on to the orchestrator. kept are the descriptors of an earlier agent, by name.
func New(dir string, ask func(context.Context, host.ComponentRequest) (host.RenewReply, error), keeper Keeper, kept map[string]*os.File,
	log *slog.Logger) *Server {
	s := &Server{dir: dir, ask: ask, keeper: keeper, log: logging.Or(log), fresh: make(chan socket, 100)}
	s.mu.at = map[wire.CTID]socket{}
	for name, f := range kept {
		text, ours := strings.CutPrefix(name, prefix)
		id, err := wire.ParseCTID(text)
		if !ours || err != nil {
			continue
		}
		if err := s.adopt(id, f); err != nil {
			s.log.Warn("adopt identity socket", logging.Container, id, logging.Err, err)
		}
	}
	return s
}

func (s *Server) adopt(id wire.CTID, f *os.File) error {
	defer f.Close()
	l, err := net.FileListener(f)
	if err != nil {
		return err
	}
	ul, ok := l.(*net.UnixListener)
	if !ok {
		l.Close()
		return errors.New("it is no Unix socket")
	}
	ul.SetUnlinkOnClose(false)
	return s.add(socket{id, s.path(id), ul})
}

func (s *Server) path(id wire.CTID) string { return filepath.Join(s.dir, id.String(), "identity.sock") }

func (s *Server) add(k socket) error {
	select {
	case s.fresh <- k:
		s.mu.at[k.id] = k
		return nil
	default:
		return fmt.Errorf("serve identity socket of container %d: too many are waiting", k.id)
	}
}

// Socket is the path of the container's socket, made if needed.
func (s *Server) Socket(id wire.CTID) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if id < 1 || id >= wire.FirstUserCTID {
		return "", fmt.Errorf("make identity socket: container %d is none of jelastic", id)
	}
	if k, ok := s.mu.at[id]; ok {
		if _, err := os.Stat(k.path); err == nil {
			return k.path, nil
		}
		s.drop(k)
	}
	k := socket{id: id, path: s.path(id)}
	// The directory keeps others out; the container's root, another user to the host, must be able to connect.
	if err := os.MkdirAll(filepath.Dir(k.path), 0o700); err != nil {
		return "", fmt.Errorf("make identity socket: %v", err)
	}
	if err := os.Remove(k.path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return "", fmt.Errorf("make identity socket: %v", err)
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: k.path, Net: "unix"})
	if err != nil {
		return "", fmt.Errorf("make identity socket: %v", err)
	}
	l.SetUnlinkOnClose(false)
	k.l = l
	if err := os.Chmod(k.path, 0o666); err != nil {
		l.Close()
		return "", fmt.Errorf("make identity socket: %v", err)
	}
	if f, err := l.File(); err == nil {
		if err := s.keeper.Keep(prefix+id.String(), f); err != nil {
			s.log.Warn("keep identity socket", logging.Container, id, logging.Err, err, logging.Reason,
				"the component must be restarted after an agent restart")
		}
		f.Close()
	}
	return k.path, s.add(k)
}

// Forget ends the socket of a container that is gone.
func (s *Server) Forget(id wire.CTID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if k, ok := s.mu.at[id]; ok {
		s.drop(k)
		os.RemoveAll(filepath.Dir(k.path))
	}
}

func (s *Server) drop(k socket) {
	delete(s.mu.at, k.id)
	k.l.Close()
	if err := s.keeper.Drop(prefix + k.id.String()); err != nil {
		s.log.Warn("drop identity socket", logging.Container, k.id, logging.Err, err)
	}
}

type ctidKey struct{}

// Run serves until ctx ends; the sockets stay for the next agent.
func (s *Server) Run(ctx context.Context) error {
	byListener := &sync.Map{}
	mux := http.NewServeMux()
	mux.HandleFunc("POST "+identity.CertificatePath, s.certificate)
	srv := &http.Server{Handler: mux, ReadTimeout: 5 * time.Second, WriteTimeout: 20 * time.Second, IdleTimeout: 10 * time.Second,
		MaxHeaderBytes: 4 << 10,
		BaseContext: func(l net.Listener) context.Context {
			id, _ := byListener.Load(l)
			return context.WithValue(ctx, ctidKey{}, id)
		}}
	return listen.Until(ctx, srv, 0, func() error {
		var wg sync.WaitGroup
		defer wg.Wait()
		for {
			select {
			case <-ctx.Done():
				return nil
			case k := <-s.fresh:
				byListener.Store(net.Listener(k.l), k.id)
				wg.Go(func() {
					if err := srv.Serve(k.l); err != nil && !errors.Is(err, http.ErrServerClosed) && !errors.Is(err, net.ErrClosed) {
						s.log.Warn("identity socket", logging.Container, k.id, logging.Err, err)
					}
				})
			}
		}
	})
}

func (s *Server) certificate(w http.ResponseWriter, r *http.Request) {
	id, ok := r.Context().Value(ctidKey{}).(wire.CTID)
	if !ok {
		http.Error(w, "this socket belongs to no container", http.StatusForbidden)
		return
	}
	var req identity.ComponentCSR
	if err := neighbour.Read(r.Body, 16<<10, &req); err != nil || len(req.CSR) == 0 {
		http.Error(w, "want {\"csr\": …}", http.StatusBadRequest)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), 15*time.Second)
	defer cancel()
	reply, err := s.ask(ctx, host.ComponentRequest{CTID: id, CSR: req.CSR})
	if err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	if err := json.NewEncoder(w).Encode(reply); err != nil {
		return // the component is gone
	}
	s.log.Info("component certificate given", logging.Container, id)
}
