package rules

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/superbpf/superbpf/optimizer/equiv"
	"github.com/superbpf/superbpf/optimizer/isa"
	"github.com/superbpf/superbpf/optimizer/prog"
	"github.com/superbpf/superbpf/optimizer/search"
	"github.com/superbpf/superbpf/optimizer/slice"
	"github.com/superbpf/superbpf/optimizer/smt"
)

func needSolver(t *testing.T) {
	t.Helper()
	s, err := smt.Open(smt.NewCtx(smt.Options{}), "auto")
	if err != nil && os.Getenv("SUPERBPF_REQUIRE_Z3") != "1" {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	s.Close()
}

// lines are the lines of a file of testdata without comments.
func lines(t *testing.T, name string) []string {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, l := range strings.Split(string(b), "\n") {
		l, _, _ = strings.Cut(l, "#")
		if l = strings.TrimSpace(l); l != "" {
			out = append(out, l)
		}
	}
	if len(out) == 0 {
		t.Fatalf("%s is empty", name)
	}
	return out
}

// operations counts what is done in a term.
func operations(t *slice.Term) (n int) {
	for i := range t.Nodes {
		if op := t.Nodes[i].Op; op != isa.LoadImm && op != slice.Then {
			n++
		}
	}
	return n
}

func TestDefaultRulesHold(t *testing.T) {
	set, err := Default()
	if err != nil {
		t.Fatal(err)
	}
	if len(set.Rules()) == 0 {
		t.Fatal("no rules")
	}
	r := rand.New(rand.NewPCG(9, 9))
	for _, x := range set.Rules() {
		if !x.holds(r) {
			t.Errorf("tests refute %s", x)
		}
		if from, _, ok := x.sample(r); ok && len(x.variables()) == 0 {
			if c, _ := from.Canonical(); c.Key(true) != from.Key(true) {
				t.Errorf("no site can look like the left side of %s", x)
			}
		}
		if operations(&x.To) > operations(&x.From)+1 {
			t.Errorf("it gets longer: %s", x)
		}
	}
	if gone := set.Prune(); len(gone) > 0 {
		t.Errorf("%d rules are covered by others, such as %s", len(gone), gone[0])
	}
}

func TestDefaultRulesAreProved(t *testing.T) {
	needSolver(t)
	set, err := Default()
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range set.Rules() {
		v, err := x.Prove(context.Background(), "auto")
		if err != nil {
			t.Fatal(err)
		}
		if v == smt.Sat || v == smt.Unknown && x.Proved {
			t.Errorf("%v: %s", v, x)
		}
	}
}

func TestWrongRulesAreRefuted(t *testing.T) {
	needSolver(t)
	for _, l := range lines(t, "testdata/wrong.txt") {
		r, err := Parse(l)
		if err != nil {
			t.Fatal(err)
		}
		if v, err := r.Prove(context.Background(), "auto"); err != nil || v != smt.Sat {
			t.Errorf("%v, %v: %s", v, err, l)
		}
		if r.holds(rand.New(rand.NewPCG(1, 2))) {
			t.Errorf("tests do not tell: %s", l)
		}
	}
}

// Enumeration finds what find.txt expects, and a rule that covers it is made
// of each.
func TestFindings(t *testing.T) {
	needSolver(t)
	e := &search.Enumerator{MCPU: 4}
	for _, l := range lines(t, "testdata/find.txt") {
		text, conds, _ := strings.Cut(l, " if ")
		k := strings.LastIndexByte(strings.TrimSpace(text), ' ')
		most, err := strconv.Atoi(strings.TrimSpace(text[k:]))
		if err != nil {
			t.Fatalf("%s: %v", l, err)
		}
		term, err := slice.Parse(text[:k])
		if err != nil {
			t.Fatal(err)
		}
		term, _ = term.Canonical()
		line := "site " + term.String() + " => " + term.String()
		if conds != "" {
			line += " if " + conds
		}
		shape, err := Parse(line)
		if err != nil {
			t.Fatal(err)
		}
		p := shape.problem(term)
		p.Slots = len(term.Nodes) + 1
		terms := e.Shorter(p)
		best := len(term.Nodes)
		for _, x := range terms {
			best = min(best, len(x.Nodes))
		}
		if best > most {
			t.Errorf("%s: %d operations", l, best)
		}
		if len(terms) == 0 {
			continue
		}
		r, err := Generalise(t.Context(), p, terms[0], "auto")
		if err != nil || r == nil {
			t.Errorf("%s: no rule: %v", l, err)
			continue
		}
		if got, ok := r.Instance(&term, p.Facts, p.Mask); !ok || !p.Agrees(&got) {
			t.Errorf("%s: the rule does not make the finding again: %s", l, r)
		}
	}
}

// Rules rewrite functions, in whatever registers and order their slices are,
// and what they make is proved.
func TestRulesAtSites(t *testing.T) {
	v, err := equiv.New(equiv.Options{Solver: "auto"})
	if err != nil && os.Getenv("SUPERBPF_REQUIRE_Z3") != "1" {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	set := new(Set)
	if err := set.Read(strings.NewReader(strings.Join([]string{
		"proved rsh64(lsh64(a, c0), c1) => and64(a, (1<<(64-c0))-1) if c0 == c1, c0 > 32",
		"proved or32r(lsh32(a, c0), rsh32(a, c1)) => rsh64(or64r(lsh64(a, 32), a), c1) if c0 == 32-c1, zext(a, 32), bits(0xffffffff)",
		"proved jne32(and32(a, c0), 0) => jset64(a, c0) if c0 >= 0",
		"proved or64r(ldx8(a, c0), lsh64(ldx8(a, c1), 8)) => ldx16(a, c0) if c0 == c1-1",
		"proved rsh64(ldx32(a, c0), 24) => ldx8(a, c0+3)",
		"proved ldx16(add64(a, c0), c1) => ldx16(a, c0+c1)",
		"proved then(stx8(a, b, c0), stx8(a, rsh64(b, 8), c1)) => stx16(a, b, c0) if c1 == c0+1",
		"proved stx16(add64(a, c0), b, c1) => stx16(a, b, c0+c1)"}, "\n")), "test"); err != nil {
		t.Fatal(err)
	}
	files, _ := filepath.Glob("testdata/*.prog")
	if len(files) == 0 {
		t.Fatal("no programs in testdata")
	}
	for _, name := range files {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		f, err := prog.ParseFunc(name, string(b))
		if err != nil {
			t.Fatal(err)
		}
		w := &search.Rewrite{Finder: set, MCPU: 4}
		g, changes := w.Run(t.Context(), f, func(int) bool { return true })
		if g == nil {
			t.Errorf("%s: no rule matched", name)
			continue
		}
		g.Compact()
		if g.Slots() >= f.Slots() || len(changes) == 0 {
			t.Errorf("%s: %d slots of %d", name, g.Slots(), f.Slots())
		}
		if r := v.Func(t.Context(), f, g); r.Verdict != equiv.Equal {
			t.Errorf("%s: %v: %s", name, r.Verdict, r.Reason)
		}
	}
}

// A rule's loads stay within what was loaded: bytes beside it may not be there,
// whatever is made of them.
func TestLoadsStayWithin(t *testing.T) {
	facts := []slice.Fact{{Pointer: true}}
	for _, c := range []struct {
		rule, term string
		ok         bool
	}{
		{"site and64(ldx32(a, c0), 255) => ldx8(a, c0)", "and64(ldx32(a, 4), 255)", true},
		{"site ldx8(a, c0) => and64(ldx16(a, c0), 255)", "ldx8(a, 4)", false},
		{"site ldx8(add64(a, c0), c1) => ldx8(a, c0+c1)", "ldx8(add64(a, 4), 3)", true},
		{"site ldx8(add64(a, c0), c1) => ldx8(a, c0+c1)", "ldx8(add64(a, 40000), 3)", false}, // no such offset
		{"site and64(a, 0) => and64(ldx8(a, 0), 0)", "and64(a, 0)", false},
	} {
		r, err := Parse(c.rule)
		if err != nil {
			t.Fatal(err)
		}
		term, err := slice.Parse(c.term)
		if err != nil {
			t.Fatal(err)
		}
		if got, ok := r.Instance(&term, facts, ^uint64(0)); ok != c.ok {
			t.Errorf("%s of %s: %v, %s", c.rule, c.term, ok, got.String())
		}
	}
}

func TestStore(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sub", "rules.db")
	if _, err := OpenStore(path, false); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no store: %v", err)
	}
	a, err := Parse("proved add64(add64(a, c0), c1) => add64(a, c0+c1)")
	if err != nil {
		t.Fatal(err)
	}
	b, err := Parse("site neg64(neg64(a)) => a")
	if err != nil {
		t.Fatal(err)
	}
	for _, list := range [][]*Rule{{a, b}, {b}} {
		s, err := OpenStore(path, true)
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(s.Replace(list), s.Close()); err != nil {
			t.Fatal(err)
		}
		if s, err = OpenStore(path, false); err != nil {
			t.Fatal(err)
		}
		set := new(Set)
		if err := errors.Join(s.Load(set), s.Close()); err != nil {
			t.Fatal(err)
		}
		var want, got bytes.Buffer
		for _, r := range list {
			want.WriteString(r.String() + "\n")
		}
		if err := set.Write(&got); err != nil || got.String() != want.String() {
			t.Errorf("stored\n%sgot\n%s%v", want.String(), got.String(), err)
		}
	}
	for _, text := range []string{"", "no database"} {
		if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
		if _, err := OpenStore(path, false); err == nil || !strings.Contains(err.Error(), "remove it") {
			t.Errorf("a store of %q: %v", text, err)
		}
	}
}

func TestParseErrors(t *testing.T) {
	for _, l := range []string{"", "add64(a, 1) => a", "proved add64(a, 1)", "proved add64(a) => a", "proved add64(a, 1, 2) => a", "proved a => b",
		"proved nosuch(a) => a", "proved jeq64(a, 1) => a", "proved add64(a, 1) => a if zext(b, 8)", "proved add64(a, 1) => a if zext(a, 64)",
		"proved add64(a, 1) => a if c0 ==", "proved ldx8(a) => ldx8(a, 0)", "proved then(a, stx8(a, b, 0)) => a", "proved add64(then(stx8(a, b, 0), stx8(a, b, 1)), 1) => a",
		"proved stx8(a, b, 0) => b", "proved add64(stx8(a, b, 0), 1) => a", "proved st8(a, 1) => st8(a, 1)", "proved add64(a, f(1)) => a", "proved add64(a, c99) => a"} {
		if r, err := Parse(l); err == nil {
			t.Errorf("%q was read as %s", l, r)
		}
	}
}

// What is read is written the same way, and nothing brings the reader down.
func FuzzParse(f *testing.F) {
	set, err := Default()
	if err != nil {
		f.Fatal(err)
	}
	for i, r := range set.Rules() {
		if i < 40 {
			f.Add(r.String())
		}
	}
	f.Add("site rsh64(lsh64(a, c0), 0x10) => mov32r(b) if pow2(c0), bits(0xff)")
	f.Fuzz(func(t *testing.T, line string) {
		r, err := Parse(line)
		if err != nil {
			return
		}
		again, err := Parse(r.String())
		if err != nil || again.String() != r.String() {
			t.Errorf("%q was read as %q, and that not: %v", line, r, err)
		}
		rnd := rand.New(rand.NewPCG(3, 3))
		r.sample(rnd)
	})
}

// A rule that holds for all inputs is tried before one that holds for some.
func TestRulesWithoutFactsComeFirst(t *testing.T) {
	set := new(Set)
	if err := set.Read(strings.NewReader("proved and64r(4294901760, a) => a if zext(a, 32), bits(0xffffffffffff0000)\n"+
		"proved and64r(4294901760, a) => mov32r(a) if bits(0xffffffffffff0000)"), "test"); err != nil {
		t.Fatal(err)
	}
	term, err := slice.Parse("and64r(4294901760, a)")
	if err != nil {
		t.Fatal(err)
	}
	site := &slice.Site{Term: term, Facts: []slice.Fact{{Zeros: 0xffffffff << 32}}, Mask: ^uint64(0xffff)}
	if got, _ := set.Terms(t.Context(), site); len(got) != 2 || got[0].String() != "mov32r(a)" {
		t.Errorf("%v", got)
	}
}
