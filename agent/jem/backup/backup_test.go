package backup

import (
	"os"
	"strings"
	"testing"

	"hardnode.dev/agent/jem/contract/contracttest"
	"hardnode.dev/internal/wire/jem"
)

// client is one that keeps what it is told, and how.
const client = "#!/bin/sh\n[ ! -e \"$(dirname \"$0\")/../broken\" ] || { echo no server >&2; exit 2; }\n" +
	"{ echo \"$(basename \"$0\") $*\"; cat; } >> \"$(dirname \"$0\")/../told\"\n"

func TestBefore(t *testing.T) {
	for name, c := range map[string]struct {
		files map[string]string
		says  string // of the answer
		told  []string
		code  string
	}{
		"nothing": {says: "no database that JEM knows runs here", code: jem.CodeOK},
		"not started": {files: map[string]string{"bin/psql": client, "proc/1/comm": "sleep\n"}, code: jem.CodeOK,
			says: "no database"},
		"PostgreSQL": {files: map[string]string{"bin/psql": client, "proc/7/comm": "postgres\n"}, code: jem.CodeOK,
			says: "PostgreSQL has written a checkpoint", told: []string{"psql -X", "CHECKPOINT;"}},
		"both": {files: map[string]string{"bin/psql": client, "bin/mysql": client, "proc/7/comm": "postgres\n", "proc/8/comm": "mysqld\n"},
			says: "PostgreSQL has written a checkpoint; MariaDB has written its tables", code: jem.CodeOK,
			told: []string{"CHECKPOINT;", "mysql --batch --no-auto-rehash -u root", "FLUSH LOCAL TABLES;"}},
		"no client": {files: map[string]string{"proc/8/comm": "mariadbd\n"}, code: "unavailable",
			says: "MariaDB needs mariadb or mysql, which this container does not have"},
		"broken": {files: map[string]string{"bin/mariadb": client, "proc/8/comm": "mariadbd\n", "broken": ""}, code: "unavailable",
			says: "MariaDB: mariadb ended with exit status 2: no server"},
	} {
		t.Run(name, func(t *testing.T) {
			root := contracttest.Root(t, c.files)
			contracttest.Write(t, root, "etc/passwd", "root:x:0:0::/:/bin/sh\npostgres:x:0:0::/:/bin/sh\n")
			r := contracttest.Call(t, Module, root, contracttest.Options{}, "before")
			if r.Code != c.code || !strings.HasPrefix(r.Message, c.says) {
				t.Errorf("%+v", r)
			}
			told := contracttest.Text(root, "told")
			for _, want := range c.told {
				if !strings.Contains(told, want) {
					t.Errorf("told %q, want %q", told, want)
				}
			}
		})
	}
}

// TestHooks: a container's hook runs before, and one that fails is told to whoever makes the snapshot.
func TestHooks(t *testing.T) {
	hook := "#!/bin/sh\necho \"$JEM_ACTION $JEM_WHEN by $(id -u)\"; exit "
	root := contracttest.Root(t, map[string]string{"etc/jem/hooks/backup-before.pre": hook + "0\n",
		"etc/jem/hooks/backup-after.post": hook + "5\n", "etc/passwd": ""})
	contracttest.Reached(root)
	me := "65534"
	if os.Geteuid() != 0 {
		t.Skip("hooks run as another user: this needs root")
	}
	r := contracttest.Call(t, Module, root, contracttest.Options{Told: jem.Told{DiskUsed: 99, DiskLimit: 100}}, "before")
	if r.Code != jem.CodeOK || r.Said != "before pre by "+me+"\n" {
		t.Errorf("%+v", r)
	}
	r = contracttest.Call(t, Module, root, contracttest.Options{}, "after")
	if r.Code != "unavailable" || !strings.Contains(r.Message, "backup-after.post") || r.Said != "after post by "+me+"\n" {
		t.Errorf("%+v", r)
	}
}
