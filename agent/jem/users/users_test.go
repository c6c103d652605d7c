package users

import (
	"reflect"
	"testing"
)

func TestParse(t *testing.T) {
	got := parse("root:x:0:0:root:/root:/bin/sh\n# x\n\nshort:x:1:1\nneg:x:-1:0::/:/\nbig:x:4294967296:0::/:/\n" +
		":x:1:1::/:/\nwww:x:33:34::/var/www:/none")
	want := []User{{"root", "/root", "/bin/sh", 0, 0}, {"www", "/var/www", "/none", 33, 34}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%+v", got)
	}
}

func FuzzParse(f *testing.F) {
	f.Add("root:x:0:0:root:/root:/bin/sh\n")
	f.Fuzz(func(t *testing.T, text string) {
		for _, u := range parse(text) {
			if u.Name == "" {
				t.Errorf("%q: %+v", text, u)
			}
		}
	})
}
