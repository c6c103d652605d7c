// Package config is hnctl's own configuration: which clusters, how they are known, where their tokens lie.
//
// Owns: the file config.yaml and where it is looked for.
// In: a directory from --config, HNCTL_CONFIG or the user's home.
// Out: a checked File of contexts, each a Config with its tokens read.
// Never: holds a token itself (tokens are files of their own), or takes one from a flag.
package config

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/goccy/go-yaml"

	"hardnode.dev/internal/secret"
	"hardnode.dev/internal/wire"
)

// FileName is the configuration's name in its directory.
const FileName = "config.yaml"

// Config says how to reach one cluster. File names are relative to its directory.
type Config struct {
	Version   int            `yaml:"version,omitempty"` // 1 where it is a file of its own; 0 in a File
	Cluster   wire.ClusterID `yaml:"cluster"`
	Name      string         `yaml:"name"`
	Servers   []string       `yaml:"servers"`               // https://host:port of the API, tried in order
	CAPin     string         `yaml:"caPin"`                 // pin of the root CA: the server must have a certificate below it
	TokenFile string         `yaml:"tokenFile"`             // file with the API token
	Session   string         `yaml:"sessionFile,omitempty"` // file with the token of a user's session: while there is one it goes before TokenFile
	Registry  *Registry      `yaml:"registry,omitempty"`
	JLS       *JLS           `yaml:"jls,omitempty"`

	dir   string
	loose string
}

// Registry says how to push templates.
type Registry struct {
	Server    string `yaml:"server"` // https://host:port
	TokenFile string `yaml:"tokenFile"`
}

// JLS says how to reach a JLS of one's own.
type JLS struct {
	Server    string `yaml:"server"` // https://host:port
	Pin       string `yaml:"pin"`    // pin of its own key
	TokenFile string `yaml:"tokenFile"`
}

// ErrNone: there is no configuration at all.
var ErrNone = errors.New("hnctl is not configured")

// Dir is the directory in force: the flag, HNCTL_CONFIG, or hardnode in the user's configuration directory.
func Dir(flag string) (string, error) {
	if flag != "" {
		return flag, nil
	}
	if env := os.Getenv("HNCTL_CONFIG"); env != "" {
		return env, nil
	}
	base, err := os.UserConfigDir()
	if err != nil {
		return "", fmt.Errorf("%w: %v; give --config DIR", ErrNone, err)
	}
	return filepath.Join(base, "hardnode"), nil
}

// Load reads the configuration in dir and is its current context. A missing file is ErrNone.
func Load(dir string) (Config, error) {
	f, err := LoadFile(dir)
	if err != nil {
		return Config{}, err
	}
	return f.Context("")
}

func (c Config) validate() error {
	if err := c.Cluster.Validate(); err != nil {
		return err
	}
	if len(c.Servers) == 0 {
		return errors.New("servers: is empty, name at least one https://host:port")
	}
	for _, s := range c.Servers {
		if err := server(s); err != nil {
			return err
		}
	}
	if wire.Digest(c.CAPin).Validate() != nil {
		return errors.New("caPin: want sha256: and 64 hex digits")
	}
	if c.Registry != nil {
		if err := server(c.Registry.Server); err != nil {
			return err
		}
	}
	if c.JLS != nil {
		if wire.Digest(c.JLS.Pin).Validate() != nil {
			return errors.New("jls.pin: want sha256: and 64 hex digits")
		}
		return server(c.JLS.Server)
	}
	return nil
}

func server(s string) error {
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "https" || u.Host == "" || u.Path != "" && u.Path != "/" {
		return fmt.Errorf("server %q: want https://host:port", s)
	}
	return nil
}

// Loose warns when others than the owner can read or change the configuration; "" is that they can't.
func (c Config) Loose() string { return c.loose }

// loose is a warning about a file that others than its owner can read or change. Windows has no such modes: os.Stat gives 0666 or 0444
// there.
func loose(path, holds string) string {
	st, err := os.Stat(path)
	if err != nil || runtime.GOOS == "windows" || st.Mode().Perm()&0o077 == 0 {
		return ""
	}
	who, what := "its group", "read"
	if st.Mode().Perm()&0o007 != 0 {
		who = "others"
	}
	if st.Mode().Perm()&0o022 != 0 {
		what = "changed"
	}
	return fmt.Sprintf("%s can be %s by %s (mode %04o)%s: chmod 600 %s", path, what, who, st.Mode().Perm(), holds, path)
}

// Token reads a token file; a relative name is below the configuration's directory. It also warns when others than the owner can read the
// file.
func (c Config) Token(name string) (t secret.Text, warning string, err error) {
	if name == "" {
		return "", "", errors.New("read token: the configuration names no tokenFile; sign in with: hnctl login")
	}
	path := c.path(name)
	raw, err := os.ReadFile(path)
	if err != nil {
		return "", "", fmt.Errorf("read token: %v", err)
	}
	text := strings.TrimSpace(string(raw))
	if text == "" || strings.ContainsAny(text, " \n\t") {
		return "", "", fmt.Errorf("read token %q: want one line with the token", path)
	}
	return secret.Text(text), loose(path, "; its token is a key to the cluster"), nil
}

// APITokenFile is the file of what the API is asked with: the session of who signed in, or the token.
func (c Config) APITokenFile() string {
	if c.Session != "" {
		return c.Session
	}
	return c.TokenFile
}

// TokenPath is where the API token lies.
func (c Config) TokenPath() string { return c.path(c.TokenFile) }

func (c Config) path(name string) string {
	if filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(c.dir, name)
}

// Encode is c as the file has it.
func Encode(c Config) ([]byte, error) {
	raw, err := yaml.Marshal(c)
	if err != nil {
		return nil, fmt.Errorf("encode configuration: %v", err)
	}
	return raw, nil
}
