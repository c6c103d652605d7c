package account

import (
	"fmt"
	"strings"
	"testing"
)

func TestFindAccount(t *testing.T) {
	const passwd = "root:x:0:0:root:/root:/bin/sh\nwww:x:33:34:www:/var/www:/bin/sh\nbig:x:70000:0::/:\n100:x:5:6::/five:\nbad\n"
	const group = "root:x:0:\nwww:x:34:\nssl:x:50:www,root\nlog:x:60:www\nlog2:x:60:www\nbig:x:70000:www\nbad:www\n"
	for user, want := range map[string]string{
		"www":           "{33 34 [50 60 70000] /var/www}",
		"www:":          "{33 34 [50 60 70000] /var/www}",
		"33":            "{33 34 [50 60 70000] /var/www}",
		"www:ssl":       "{33 50 [] /var/www}",
		"www:7":         "{33 7 [] /var/www}",
		"root":          "{0 0 [50] /root}",
		"999":           "{999 0 [] /}",
		"999:33":        "{999 33 [] /}",
		"100":           "{5 6 [] /five}", // a name before a number
		"nobody":        "is not in the container's /etc/passwd",
		"big":           "{70000 0 [] /}",
		"70000":         "{70000 0 [] /}",
		"70001":         "{70001 0 [] /}",
		"1:99999999999": "is not in the container's /etc/group",
		"99999999999":   "is not in the container's /etc/passwd",
		"www:nogr":      "is not in the container's /etc/group",
		"www:big":       "{33 70000 [] /var/www}",
		"":              "is not in the container's /etc/passwd",
	} {
		a, err := Find(passwd, group, user)
		if got := fmt.Sprint(a); err == nil && got != want || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %s %v, want %s", user, got, err, want)
		}
	}
}
