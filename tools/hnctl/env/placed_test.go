package env

import (
	"errors"
	"testing"

	"hardnode.dev/internal/wire/operator"
)

// What the server finds wrong is told with the lines of the file it was written in.
func TestServersFaultsArePlaced(t *testing.T) {
	_, src, _, err := operator.DecodeEnvironment("hello.yaml",
		[]byte("version: 1\nname: hello\nlayers:\n  - name: cp\n    template: nginx\n    nodes: 0\n"+
			"    cloudlets: {reserved: 9, dynamic: 4}\n"))
	if err != nil {
		t.Fatal(err)
	}
	p := operator.All([]*operator.Problem{
		operator.NewProblem(operator.Invalid, "layers[0].nodes", "0 nodes, want 1 to 100", "change the number of nodes"),
		operator.NewProblem(operator.Invalid, "layers[0].cloudlets.reserved", "9 cloudlets, want 0 to dynamic, which is 4",
			"reserve at most what the node may grow to"),
		operator.NewProblem(operator.Conflict, "environments/hello", "the name is taken", "choose another name"),
	})
	want := "hello.yaml:6:5: layers[0].nodes: 0 nodes, want 1 to 100 (change the number of nodes)\n" +
		"hello.yaml:7:17: layers[0].cloudlets.reserved: 9 cloudlets, want 0 to dynamic, which is 4 (reserve at most what the node may " +
		"grow to)\n" +
		"environments/hello: the name is taken (choose another name)"
	if got := placed(src, p); got.Error() != want {
		t.Errorf("got\n%v\nwant\n%s", got, want)
	}
	other := errors.New("no answer")
	if got := placed(src, other); got != other {
		t.Errorf("got %v", got)
	}
}
