package locks

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/superbpf/superbpf/benchmarks"
	"github.com/superbpf/superbpf/loader"
	"github.com/superbpf/superbpf/loader/kerneltest"
	"github.com/superbpf/superbpf/optimizer/absint"
	"github.com/superbpf/superbpf/optimizer/elf"
	"github.com/superbpf/superbpf/optimizer/isa"
	"github.com/superbpf/superbpf/optimizer/prog"
)

var (
	precise  = flag.Int("kernel.states", 150, "random programs whose abstract states to compare with the verifier's")
	update   = flag.Bool("update", false, "write testdata/precision.txt anew")
	examples = flag.Bool("kernel.examples", false, "show a place for each way in which the verifier knows more")
)

// comparison counts places where the verifier knows more, by what it is.
type comparison struct {
	places, more int
	// single counts the places where the verifier knows more than we do when we,
	// too, go each path by itself: the others are what joins lose.
	single  int
	why     map[string]int
	example map[string]string
	clash   []string
}

// states compares what the verifier says after each instruction of f with the
// abstract states. Where it left paths that were like others, what it said of the
// instructions behind is not all: there it is not asked what it knows more.
func (c *comparison) states(f *prog.Func, log string) {
	said := listen(f, log)
	res := absint.Analyze(f, absint.Options{})
	w := absint.NewWalker(f, absint.Options{})
	partly := reachedFrom(f, said.pruned)
	alone := byPath(f, w, said)
	for k := range f.Insns {
		row := f.Insns[k].Row()
		s := res.At(k)
		if said.after[k] == nil || said.silent[k] || !s.Reachable || row.Kind == isa.KindCondJump || row.Kind == isa.KindExit {
			continue
		}
		s = s.Clone()
		w.Step(s, k)
		for _, r := range slices.Sorted(maps.Keys(said.after[k])) {
			theirs, ours := said.after[k][r], s.Reg(r)
			if row.Kind == isa.KindStore && r == isa.R10 || ours.Kind == absint.Uninit {
				continue
			}
			c.places++
			place := func(what string) string {
				return fmt.Sprintf("%s: r%d after instruction %d, %s: ours %v %+v, theirs %v %+v\n%s", what, r, k, isa.Format(f.Insns[k].Insn, ""), ours.Kind, ours.Num, theirs.kind, theirs.num, prog.FormatFunc(f))
			}
			if clash(ours, theirs) && !partly[k] {
				c.clash = append(c.clash, place("nothing in common"))
				continue
			}
			if partly[k] {
				continue
			}
			what := knowsMore(tell(s, ours), theirs)
			if what == "" {
				continue
			}
			if r != f.Insns[k].Dst || f.Insns[k].Def() == 0 {
				what += ", of an operand"
			} else {
				what += " after " + row.Name
			}
			c.more++
			mine, walked := alone[k][r]
			switch {
			case !walked:
				what += ", many paths"
			case knowsMore(mine, theirs) == "":
				what += ", lost at a join"
			default:
				what += ", on each path"
				c.single++
			}
			if c.why[what]++; c.why[what] == 1 {
				c.example[what] = place(what)
			}
		}
	}
}

// clash: no number, or pointer, is in both.
func clash(a absint.Value, b told) bool {
	if a.Kind == absint.Unknown || b.kind == absint.Unknown {
		return false
	}
	if a.Kind != b.kind {
		null := func(k absint.Kind) bool {
			return k == absint.MapValueOrNull || k == absint.MapValue || k == absint.Scalar
		}
		return !null(a.Kind) || !null(b.kind) || a.Kind != absint.MapValueOrNull && b.kind != absint.MapValueOrNull
	}
	if a.Kind != absint.Scalar {
		return false
	}
	apart := func(x, y absint.Range) bool {
		return x.UMin > y.UMax || y.UMin > x.UMax || x.SMin > y.SMax || y.SMin > x.SMax
	}
	return apart(a.Num.Range, b.num.Range) || apart(a.Num.Low, b.num.Low) || (a.Num.T.V^b.num.T.V)&^(a.Num.T.M|b.num.T.M) != 0
}

// tell puts our knowledge of a register as the log does.
func tell(s *absint.State, v absint.Value) told {
	return told{kind: v.Kind, num: v.Num, bytes: s.PacketBytes(v)}
}

// knowsMore says what the verifier knows and we do not.
func knowsMore(a, b told) string {
	tighter := func(x, y absint.Range) bool { // y than x
		return y.UMin > x.UMin || y.UMax < x.UMax || y.SMin > x.SMin || y.SMax < x.SMax
	}
	switch {
	case b.kind == absint.Unknown:
	case a.kind == absint.Unknown:
		return "that it is a " + b.kind.String()
	case a.kind == absint.MapValueOrNull && b.kind == absint.MapValue:
		return "that it is not NULL"
	case a.kind == absint.Packet && b.kind == absint.Packet && a.bytes < b.bytes:
		return "bytes of the packet"
	case a.kind != absint.Scalar || b.kind != absint.Scalar:
	case tighter(a.num.Range, b.num.Range):
		return "a range"
	case tighter(a.num.Low, b.num.Low):
		return "a range of 32 bits"
	case a.num.T.M&^b.num.T.M != 0:
		return "bits"
	}
	return ""
}

// maxWalked bounds the instructions that are walked path by path.
const maxWalked = 50_000

// byPath is what we know after instructions when we go each path by itself, for
// the registers that the verifier speaks of; nothing where there are many.
func byPath(f *prog.Func, w *absint.Walker, said *spoken) []map[isa.Reg]told {
	out := make([]map[isa.Reg]told, len(f.Insns))
	type place struct {
		s *absint.State
		k int
	}
	work := []place{{w.Start(), 0}}
	for steps := 0; len(work) > 0; {
		p := work[len(work)-1]
		work = work[:len(work)-1]
		for {
			if steps++; steps > maxWalked {
				return make([]map[isa.Reg]told, len(f.Insns))
			}
			in := &f.Insns[p.k]
			kind := in.Row().Kind
			if kind == isa.KindExit {
				break
			}
			if kind == isa.KindCondJump {
				taken, fall := w.Branch(p.s, p.k)
				if taken.Reachable {
					work = append(work, place{taken, in.Target})
				}
				if !fall.Reachable {
					break
				}
				p = place{fall, p.k + 1}
				continue
			}
			w.Step(p.s, p.k)
			for r := range said.after[p.k] {
				if out[p.k] == nil {
					out[p.k] = map[isa.Reg]told{}
				}
				t := tell(p.s, p.s.Reg(r))
				if old, seen := out[p.k][r]; seen {
					t = old.join(t)
				}
				out[p.k][r] = t
			}
			if p.k++; kind == isa.KindJump {
				p.k = in.Target
			}
		}
	}
	return out
}

// reachedFrom marks the instructions that control comes to from the marked ones.
func reachedFrom(f *prog.Func, marked []bool) []bool {
	out := slices.Clone(marked)
	for again := true; again; {
		again = false
		for k := range f.Insns {
			for _, s := range prog.Succs(f, k) {
				if out[k] && !out[s] {
					out[s], again = true, true
				}
			}
		}
	}
	return out
}

const precisionFile = "testdata/precision.txt"

// The verifier's log and our abstract states must have something in common at
// every point, and what the verifier knows more must not grow.
func TestStatesAgreeWithTheVerifier(t *testing.T) {
	kerneltest.Require(t)
	c := &comparison{why: map[string]int{}, example: map[string]string{}}
	j := &judge{maps: map[mapDef]*loader.RawMap{}}
	defer j.close()
	log := make([]byte, 16<<20)
	ask := func(f *prog.Func) bool {
		code, err := j.code(f)
		if err != nil {
			return false // a map that needs more than sizes
		}
		log[0] = 0
		p, err := loader.LoadRaw(uint32(f.Type), code, loader.RawOptions{AttachType: f.Attach, Log: log})
		if err != nil {
			return false
		}
		p.Close()
		n := bytes.IndexByte(log, 0)
		c.states(f, string(log[:max(n, 0)]))
		return true
	}
	suites, err := benchmarks.Load("all")
	if err != nil {
		t.Fatal(err)
	}
	fromSuites := 0
	for _, b := range suites {
		raw, err := b.Compile(context.Background(), "O2", "v3")
		if err != nil {
			t.Fatal(err)
		}
		o, err := elf.Read(raw)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range o.Functions() {
			if g, ok := plain(f); ok && len(g.Insns) < 1000 && ask(g) {
				fromSuites++
			}
		}
	}
	r := rand.New(rand.NewPCG(*seed, 19))
	random := 0
	for n := range *precise {
		f := Woven(r, 2+r.IntN(10))
		if n%2 == 1 {
			f = Program(r, 4+r.IntN(20), nil)
		}
		if ask(f) {
			random++
		}
	}
	if fromSuites < 10 || random < *precise/2 || c.places < 1000 {
		t.Errorf("compared %d programs of the suites and %d random ones at %d places: too few", fromSuites, random, c.places)
	}
	for _, x := range c.clash[:min(3, len(c.clash))] {
		t.Error(x)
	}
	var now strings.Builder
	fmt.Fprintf(&now, "Linux %s: the verifier knows more at %d of %d places, at %d of them on each path\n", loader.Release(), c.more, c.places, c.single)
	for _, w := range slices.SortedFunc(maps.Keys(c.why), func(a, b string) int {
		if c.why[a] != c.why[b] {
			return c.why[b] - c.why[a]
		}
		return strings.Compare(a, b)
	}) {
		fmt.Fprintf(&now, "%d %s\n", c.why[w], w)
		if *examples {
			t.Log(c.example[w])
		}
	}
	t.Logf("%d clashes; %s", len(c.clash), now.String())
	if *update {
		if err := os.WriteFile(precisionFile, []byte(now.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	before, err := os.ReadFile(precisionFile)
	if err != nil {
		t.Fatal(err)
	}
	var more, places, single int
	var release string
	if _, err := fmt.Sscanf(string(before), "Linux %s the verifier knows more at %d of %d places, at %d", &release, &more, &places, &single); err != nil {
		t.Fatal(err)
	}
	// The share counts: other compilers and kernels make other places.
	for _, x := range [][2]int{{share(more, places), share(c.more, c.places)}, {share(single, places), share(c.single, c.places)}} {
		if x[1] > x[0]+x[0]/10+5 {
			t.Errorf("it was %d of %d places, and %d on each path: see what became imprecise, or run with -update", more, places, single)
		}
	}
}

// share is n of m in ten thousandths.
func share(n, m int) int { return 10_000 * n / max(m, 1) }
