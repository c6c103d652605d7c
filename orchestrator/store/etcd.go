package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/embed"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3client"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"hardnode.dev/internal/logging"
)

// Options say where the store lives.
type Options struct {
	// Dir is the directory of the etcd member, made when missing, mode 0700.
	Dir string
	// Unsafe skips fsync: for tests only, a power cut would lose data.
	Unsafe bool
	Log    *slog.Logger
}

// member is the etcd server of this process and its in-process client; no socket lies between them.
type member struct {
	*clientv3.Client
	server *embed.Etcd
	level  zap.AtomicLevel
}

// startMember runs one voter that listens on unix sockets in its own directory only: nothing but this process talks to it.
func startMember(ctx context.Context, o Options) (*member, error) {
	dir, err := filepath.Abs(o.Dir)
	if err != nil {
		return nil, fmt.Errorf("open store %q: %v", o.Dir, err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("open store: %v", err)
	}
	socket := func(name string) []url.URL {
		path := filepath.Join(dir, name)
		os.Remove(path) // left by a process that was killed
		return []url.URL{{Scheme: "unix", Host: path}}
	}
	cfg := embed.NewConfig()
	cfg.Name, cfg.Dir = "store", filepath.Join(dir, "member")
	cfg.ListenPeerUrls, cfg.ListenClientUrls = socket("peer"), socket("client")
	dropCopies(cfg.Dir)
	// The member's peer address is part of its stored identity: it must not depend on where the directory is mounted.
	cfg.AdvertisePeerUrls = []url.URL{{Scheme: "unix", Host: "store-peer"}}
	cfg.AdvertiseClientUrls = []url.URL{{Scheme: "unix", Host: "store-client"}}
	cfg.InitialCluster = cfg.InitialClusterFromName(cfg.Name)
	cfg.EnableGRPCGateway = false
	// One voter has nobody to outwait: a longer election would only make every restart slower, also on a slow machine. Three voters
	// will need 100 ms and 1 s, and 500 ms and 5 s under software emulation.
	cfg.TickMs, cfg.ElectionMs = 50, 250
	cfg.UnsafeNoFsync = o.Unsafe
	// A transaction of lead stops well below these; one document, the Peers of a large cluster, is most of it.
	cfg.MaxTxnOps, cfg.MaxRequestBytes = 8192, 8<<20
	// Every transaction since the last snapshot is in memory, and one of a large cluster is a megabyte.
	cfg.SnapshotCount, cfg.SnapshotCatchUpEntries = 200, 20
	cfg.MaxSnapFiles, cfg.MaxWalFiles = 2, 2
	cfg.AutoCompactionMode, cfg.AutoCompactionRetention = "revision", "1000" // each 5 min; for what Store.compact can't wait
	cfg.QuotaBackendBytes = 1 << 30
	cfg.BackendFreelistType = "map"
	m := &member{level: zap.NewAtomicLevelAt(zapcore.ErrorLevel)}
	sink := zapcore.AddSync(logWriter{logging.Or(o.Log)})
	cfg.ZapLoggerBuilder = embed.NewZapLoggerBuilder(
		zap.New(zapcore.NewCore(zapcore.NewConsoleEncoder(zapcore.EncoderConfig{MessageKey: "msg"}), sink, m.level)))
	if m.server, err = embed.StartEtcd(cfg); err != nil {
		return nil, fmt.Errorf("open store %q: %v", dir, err)
	}
	wait := time.NewTimer(2 * time.Minute)
	defer wait.Stop()
	select {
	case <-m.server.Server.ReadyNotify():
		m.Client = v3client.New(m.server.Server)
		return m, nil
	case err = <-m.server.Err():
	case <-m.server.Server.StopNotify():
		err = errors.New("the member stopped while starting")
	case <-wait.C:
		err = errors.New("the member was not ready within two minutes")
	case <-ctx.Done():
		err = ctx.Err()
	}
	m.close()
	return nil, fmt.Errorf("open store %q: %v", dir, err)
}

func (m *member) close() {
	m.level.SetLevel(zapcore.DPanicLevel) // closing a listener is no error
	if m.Client != nil {
		m.Client.Close()
	}
	m.server.Close()
}

// logWriter hands etcd's own errors to our log.
type logWriter struct{ log *slog.Logger }

func (w logWriter) Write(p []byte) (int, error) {
	w.log.Warn("etcd", logging.Err, strings.TrimSpace(string(p)))
	return len(p), nil
}
