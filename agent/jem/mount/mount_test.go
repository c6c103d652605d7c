package mount

import (
	"fmt"
	"strings"
	"testing"

	"hardnode.dev/agent/jem/contract/contracttest"
)

const table = `536 460 0:45 / / rw,relatime - btrfs /dev/vda3 rw,space_cache=v2
540 536 0:48 / /proc rw,nosuid,nodev,noexec,relatime shared:1 - proc proc rw
541 536 0:49 /v /var/lib/my\040data rw,relatime - btrfs /dev/vda3 ro
542 536 0:50 / /run/hardnode/jem ro - erofs /dev/loop0 ro
543 536 0:51 / /procedures ro,nosuid shared:1 master:2 - tmpfs tmpfs rw,size=64k
nonsense
544 536 0:51 / /x rw -
`

func TestList(t *testing.T) {
	root := contracttest.Root(t, map[string]string{"proc/self/mountinfo": table})
	r := contracttest.Call(t, Module, root, contracttest.Options{}, "list")
	want := "[map[options:rw,relatime source:/dev/vda3 target:/ type:btrfs] " +
		"map[options:ro,relatime source:/dev/vda3 target:/var/lib/my data type:btrfs] " +
		"map[options:ro,nosuid source:tmpfs target:/procedures type:tmpfs]]"
	if got := fmt.Sprint(r.Items); got != want || r.Message != "3 places are mounted" {
		t.Errorf("got %s, %q", got, r.Message)
	}
	if r := contracttest.Call(t, Module, root, contracttest.Options{}, "list", "--all"); len(r.Items) != 5 {
		t.Errorf("--all: %+v", r)
	}
	if r := contracttest.Call(t, Module, t.TempDir(), contracttest.Options{}, "list"); r.Code != "unavailable" {
		t.Errorf("without /proc: %+v", r)
	}
}

func TestRefused(t *testing.T) {
	for _, action := range []string{"add", "remove"} {
		r := contracttest.Call(t, Module, t.TempDir(), contracttest.Options{}, action, "/dev/sdb", "/mnt")
		if r.Code != "denied" || !strings.Contains(r.Message, "its host does") {
			t.Errorf("%s: %+v", action, r)
		}
	}
}
