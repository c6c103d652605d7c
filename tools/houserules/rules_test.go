package houserules

import (
	"bufio"
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "hardnode.dev/"

// file is one Go file of the repository, path relative to its root.
type file struct {
	path    string
	text    string
	lines   int
	set     *token.FileSet
	syntax  *ast.File
	imports []string
}

func (f file) dir() string { return filepath.Dir(f.path) }
func (f file) test() bool {
	return strings.HasSuffix(f.path, "_test.go") || strings.Contains(f.path, "/testkit/")
}
func (f file) generated() bool {
	return strings.HasSuffix(f.path, "_templ.go") || ast.IsGenerated(f.syntax)
}

func within(path, folder string) bool { return path == folder || strings.HasPrefix(path, folder+"/") }

func repository(t *testing.T) (root string, files []file) {
	t.Helper()
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	set := token.NewFileSet()
	err = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(root, path)
		if d.IsDir() {
			if rel == "out" || rel == ".git" || d.Name() == "testdata" {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(path, ".go") {
			return nil
		}
		raw, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		f, err := parser.ParseFile(set, path, raw, parser.ParseComments)
		if err != nil {
			return err
		}
		out := file{path: rel, text: string(raw), lines: bytes.Count(raw, []byte("\n")), set: set, syntax: f}
		for _, i := range f.Imports {
			out.imports = append(out.imports, strings.Trim(i.Path.Value, `"`))
		}
		files = append(files, out)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return root, files
}

func TestTopLevelIsFixed(t *testing.T) {
	root, _ := repository(t)
	entries, err := os.ReadDir(root)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.Name() != ".git" && e.Name() != "out" && !slices.Contains(tops, e.Name()) {
			t.Errorf("%s: is not part of the fixed top level; put it into one of its folders", e.Name())
		}
	}
	inner, err := os.ReadDir(filepath.Join(root, "internal"))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range inner {
		if !slices.Contains(internals, e.Name()) {
			t.Errorf("internal/%s: internal is a closed list (%s)", e.Name(), strings.Join(internals, ", "))
		}
	}
}

func TestFoldersDoNotKnowEachOther(t *testing.T) {
	_, files := repository(t)
	for _, f := range files {
		from, _, _ := strings.Cut(f.path, "/")
		if !slices.Contains(folders, from) && from != "internal" {
			continue
		}
		for _, imp := range f.imports {
			to, ours := strings.CutPrefix(imp, module)
			top, _, _ := strings.Cut(to, "/")
			if !ours || top == "internal" || top == from {
				continue
			}
			if !slices.ContainsFunc(crossings, func(c struct{ from, to, reason string }) bool {
				return within(f.dir(), c.from) && within(to, c.to)
			}) {
				t.Errorf("%s imports %s: product folders meet only in internal/ and on the wire", f.path, imp)
			}
		}
	}
}

func TestArrowsDoNotClimb(t *testing.T) {
	_, files := repository(t)
	for _, a := range arrows {
		found := false
		for _, f := range files {
			if f.test() || !within(f.dir(), a.from) {
				continue
			}
			found = true
			for _, imp := range f.imports {
				if to, ours := strings.CutPrefix(imp, module); ours && within(to, a.to) && !within(to, a.from) {
					t.Errorf("%s imports %s: %s", f.path, imp, a.reason)
				}
			}
		}
		if !found {
			t.Errorf("%s: there is no such package any more; mend the table of arrows", a.from)
		}
	}
}

func TestOwnedPackages(t *testing.T) {
	_, files := repository(t)
	for _, f := range files {
		for _, o := range own {
			if slices.Contains(f.imports, module+o.pkg) && !within(f.dir(), o.pkg) && !f.test() &&
				!slices.ContainsFunc(o.by, func(by string) bool { return within(f.dir(), by) }) {
				t.Errorf("%s imports %s: %s", f.path, o.pkg, o.reason)
			}
		}
	}
}

func TestStrictIsForPeople(t *testing.T) {
	_, files := repository(t)
	for _, f := range files {
		if f.test() || slices.ContainsFunc(strictly, func(s struct{ pkg, reason string }) bool { return s.pkg == f.dir() }) {
			continue
		}
		ast.Inspect(f.syntax, func(n ast.Node) bool {
			if s, ok := n.(*ast.SelectorExpr); ok && s.Sel.Name == "DisallowUnknownFields" {
				t.Errorf("%s refuses unknown fields: a program of the next version may send some; read it by internal/wire/neighbour",
					f.path)
			}
			return true
		})
	}
}

// TestKeptDocumentsHaveGoldenFiles: whoever keeps a document on disk holds its type to the forms it has had.
func TestKeptDocumentsHaveGoldenFiles(t *testing.T) {
	root, files := repository(t)
	found := 0
	for _, f := range files {
		if f.test() || within(f.dir(), "internal/keep") ||
			slices.ContainsFunc(goldenElsewhere, func(e struct{ pkg, reason string }) bool { return e.pkg == f.dir() }) {
			continue
		}
		keeps := false
		ast.Inspect(f.syntax, func(n ast.Node) bool {
			if s, ok := n.(*ast.SelectorExpr); ok && s.Sel.Name == "Doc" {
				if x, ok := s.X.(*ast.Ident); ok && x.Name == "keep" {
					keeps = true
				}
			}
			return true
		})
		if !keeps {
			continue
		}
		found++
		if _, err := os.Stat(filepath.Join(root, f.dir(), "golden_test.go")); err != nil {
			t.Errorf("%s keeps a document: add a golden_test.go with golden.Kept of its type (internal/testkit/golden)", f.path)
		}
	}
	if found < 5 {
		t.Errorf("only %d files keep documents: has keep.Doc another name?", found)
	}
}

func TestDecidingPackagesArePure(t *testing.T) {
	_, files := repository(t)
	for _, f := range files {
		if f.test() || !slices.ContainsFunc(deciding, func(d string) bool { return within(f.dir(), d) }) {
			continue
		}
		for _, imp := range f.imports {
			if slices.Contains(forbidden, imp) {
				t.Errorf("%s imports %s: a deciding package gets all it needs as values", f.path, imp)
			}
		}
		ast.Inspect(f.syntax, func(n ast.Node) bool {
			if s, ok := n.(*ast.SelectorExpr); ok && s.Sel.Name == "Now" {
				if x, ok := s.X.(*ast.Ident); ok && x.Name == "time" {
					t.Errorf("%s calls time.Now: pass now in", f.path)
				}
			}
			return true
		})
	}
}

func TestProcessEndsOnlyInMain(t *testing.T) {
	_, files := repository(t)
	for _, f := range files {
		if f.test() || f.syntax.Name.Name == "main" || within(f.path, "internal/run") {
			continue
		}
		ast.Inspect(f.syntax, func(n ast.Node) bool {
			s, ok := n.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			x, ok := s.X.(*ast.Ident)
			switch {
			case !ok:
			case x.Name == "os" && s.Sel.Name == "Exit", x.Name == "log" && strings.HasPrefix(s.Sel.Name, "Fatal"):
				t.Errorf("%s calls %s.%s: only main ends a program", f.path, x.Name, s.Sel.Name)
			case x.Name == "time" && s.Sel.Name == "Sleep" && !within(f.path, "qemu-tests"):
				t.Errorf("%s calls time.Sleep: wait for a timer and the context together (run.Wait)", f.path)
			}
			return true
		})
	}
}

func TestShape(t *testing.T) {
	_, files := repository(t)
	documented, packages := map[string]bool{}, map[string]string{}
	for _, f := range files {
		limit := fileLimit
		if filepath.Base(f.path) == "main.go" {
			limit = mainLimit
		}
		if f.lines > limit && !f.generated() {
			t.Errorf("%s has %d lines, the limit is %d", f.path, f.lines, limit)
		}
		if slices.Contains(banned, f.syntax.Name.Name) {
			t.Errorf("%s: package %s: name it by what it holds", f.path, f.syntax.Name.Name)
		}
		if !f.test() {
			packages[f.dir()] = f.syntax.Name.Name
			documented[f.dir()] = documented[f.dir()] || f.syntax.Doc != nil && wellDocumented(f.syntax)
		}
	}
	for dir, name := range packages {
		if !documented[dir] {
			t.Errorf("%s (package %s): its comment must say what it owns, what comes in, what goes out and what it never does (lines "+
				"starting Owns:, In:, Out:, Never:)", dir, name)
		}
	}
}

func wellDocumented(f *ast.File) bool {
	text := "\n" + f.Doc.Text()
	for _, w := range []string{"\nOwns:", "\nIn:", "\nOut:", "\nNever:"} {
		if !strings.Contains(text, w) {
			return false
		}
	}
	return true
}

func TestPID1StaysSmall(t *testing.T) {
	root, _ := repository(t)
	if _, err := os.Stat(filepath.Join(root, pid1, "main.go")); err != nil {
		t.Skipf("no %s/main.go yet", pid1)
	}
	cmd := exec.Command("go", "list", "-deps", "./"+pid1)
	cmd.Dir = root
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list -deps ./%s: %v", pid1, err)
	}
	for s := bufio.NewScanner(bytes.NewReader(out)); s.Scan(); {
		if slices.Contains(pid1Forbidden, s.Text()) {
			t.Errorf("%s depends on %s: PID 1 opens no network socket and has no TLS and no YAML", pid1, s.Text())
		}
	}
}

// TestSecurityNamesEveryModule: each direct module has a line in SECURITY.md that says why it is there.
func TestSecurityNamesEveryModule(t *testing.T) {
	root, _ := repository(t)
	mod, err := os.ReadFile(filepath.Join(root, "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	doc, err := os.ReadFile(filepath.Join(root, "SECURITY.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range strings.Split(string(mod), "\n") {
		f := strings.Fields(line)
		if !strings.HasPrefix(line, "\t") || strings.HasSuffix(line, "// indirect") || len(f) != 2 || !strings.HasPrefix(f[1], "v") {
			continue
		}
		if !bytes.Contains(doc, []byte("`"+f[0]+"`")) {
			t.Errorf("SECURITY.md has no line for `%s`: say what it is used for", f[0])
		}
	}
}

// TestReadmeNamesWhatIsThere: where the README says things are, they are.
func TestReadmeNamesWhatIsThere(t *testing.T) {
	root, _ := repository(t)
	raw, err := os.ReadFile(filepath.Join(root, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, text, found := strings.Cut(string(raw), "\n## Where things are\n")
	text, _, ends := strings.Cut(text, "\n## ")
	if !found || !ends {
		t.Fatal("README.md has no section \"Where things are\", or nothing after it")
	}
	named := 0
	for i, part := range strings.Split(text, "`") {
		if i%2 == 0 || !strings.Contains(part, "/") || strings.Contains(part, "{") {
			continue
		}
		named++
		if _, err := os.Stat(filepath.Join(root, part)); err != nil {
			t.Errorf("README.md names %s, which is not there", part)
		}
	}
	if named < 20 {
		t.Errorf("README.md names %d places: is the section as it was?", named)
	}
}
