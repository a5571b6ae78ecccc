package equiv

import (
	"context"
	"flag"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/superbpf/superbpf/optimizer/elf"
	"github.com/superbpf/superbpf/optimizer/equiv/environ"
	"github.com/superbpf/superbpf/optimizer/isa"
	"github.com/superbpf/superbpf/optimizer/prog"
	"github.com/superbpf/superbpf/optimizer/smt"
)

var (
	mutants    = flag.Int("mutants", 1500, "damaged functions to try")
	mutantSeed = flag.Uint64("mutant.seed", 1, "seed of the damage")
	mutantRuns = flag.Int("mutant.runs", 60, "environments in which an accepted mutant must behave like its original")
	mutantWall = flag.Duration("mutant.wall", time.Second, "time for one proof")
	solverName = flag.String("mutant.solver", "auto", "solver; none leaves it to normal forms")
	mutantObj  = flag.String("mutant.objects", "", "glob of objects whose functions are damaged too")
)

const maxSteps = 20_000

// Damage one place of a function that may replace another; whatever the
// validator still calls Equal must behave the same in every environment tried.
func TestMutants(t *testing.T) {
	type pair struct {
		name string
		p, q *prog.Func
	}
	var corpus []pair
	for _, glob := range []string{"testdata/*.txt", "testdata/bugs/*.txt"} {
		files, _ := filepath.Glob(glob)
		for _, f := range files {
			p, q, want := readCase(t, f)
			corpus = append(corpus, pair{f, p, p})
			if want == "Equal" {
				corpus = append(corpus, pair{f, p, q})
			}
		}
	}
	v := validator(t, Options{Solver: *solverName, Limits: smt.Limits{Steps: 100_000, Wall: 200 * time.Millisecond}})
	objects, err := filepath.Glob(*mutantObj)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range objects {
		raw, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		o, err := elf.Read(raw)
		if err != nil {
			t.Fatal(name, err)
		}
		for _, f := range o.Functions() {
			if f.Unsupported == "" {
				corpus = append(corpus, pair{name + ":" + f.Name, f, f})
			}
		}
	}
	if len(corpus) < 20 {
		t.Fatalf("only %d functions", len(corpus))
	}
	r := rand.New(rand.NewPCG(*mutantSeed, 0))
	tried, seen, verdicts, kinds, accepted := 0, 0, map[Verdict]int{}, map[string]int{}, map[string]int{}
	for tried < *mutants {
		c := corpus[r.IntN(len(corpus))]
		q := c.q.Clone()
		kind := damage(r, q)
		if kind == "" || prog.Check(q) != nil || prog.SameCode(c.q, q) {
			continue
		}
		tried++
		kinds[kind]++
		ctx, cancel := context.WithTimeout(context.Background(), *mutantWall)
		res := v.Func(ctx, c.p, q)
		cancel()
		verdicts[res.Verdict]++
		if res.Verdict == Equal {
			accepted[kind]++
		}
		for k := range *mutantRuns {
			w := environ.NewWorld(*mutantSeed+uint64(k)*1000, c.p)
			a, err := environ.Run(c.p, w, maxSteps)
			if err != nil {
				continue
			}
			b, err := environ.Run(q, w, 2*maxSteps)
			diff := "does not end"
			if err == nil {
				diff = a.Differs(b, resultWidth(c.p))
			}
			if diff != "" && res.Verdict != Equal {
				seen++ // the runs can tell
				break
			}
			if diff != "" {
				t.Errorf("%s, %s: called Equal (%s) but %s\n-- p --\n%s-- q --\n%s", c.name, kind, res.Reason, diff, text(c.p), text(q))
				break
			}
		}
	}
	t.Logf("%d mutants of %d functions: %v, of those not Equal runs tell %d from the original; tried %v; harmless by proof and by run: %v", tried, len(corpus), verdicts, seen, kinds, accepted)
	if verdicts[Equal] == 0 {
		t.Error("no mutant was harmless: the check did not check anything")
	}
}

// text renders a function as test cases hold it, as far as that goes.
func text(f *prog.Func) string {
	s := ""
	target := map[int]bool{}
	for k := range f.Insns {
		if f.Insns[k].Target >= 0 {
			target[f.Insns[k].Target] = true
		}
	}
	for k := range f.Insns {
		in := &f.Insns[k]
		if target[k] {
			s += label(k) + ":\n"
		}
		s += isa.Format(in.Insn, label(in.Target))
		if in.Ref != nil {
			s += " # " + in.Ref.Name
		}
		s += "\n"
	}
	return s
}

func label(k int) string {
	return "l" + string(rune('0'+k/100)) + string(rune('0'+k/10%10)) + string(rune('0'+k%10))
}

// damage changes one place of f and names what it did; empty when the place
// did not suit.
func damage(r *rand.Rand, f *prog.Func) string {
	k := r.IntN(len(f.Insns))
	in := &f.Insns[k]
	row := in.Row()
	pick := func(list ...int64) int64 { return list[r.IntN(len(list))] }
	turn := func(op isa.Op) bool {
		if op == 0 || op == in.Op {
			return false
		}
		in.Op = op
		return true
	}
	switch r.IntN(12) {
	case 0:
		if row.Kind == isa.KindExit || row.Kind == isa.KindJump {
			return ""
		}
		*in = prog.New(isa.Insn{Op: isa.Nop})
		return "drop"
	case 1:
		if k+1 == len(f.Insns) || in.Target >= 0 || f.Insns[k+1].Target >= 0 || row.Kind == isa.KindExit || f.Insns[k+1].Row().Kind == isa.KindExit {
			return ""
		}
		f.Insns[k], f.Insns[k+1] = f.Insns[k+1], f.Insns[k]
		return "swap"
	case 2:
		if !row.Imm || in.Ref != nil || row.Kind == isa.KindCallHelper {
			return ""
		}
		in.Imm = int64(int32(in.Imm + pick(1, -1, 8, -8, 1<<16, -in.Imm, -2*in.Imm, int64(1)<<r.IntN(31))))
		return "constant"
	case 3:
		if row.Kind != isa.KindLoad && row.Kind != isa.KindStore && row.Kind != isa.KindAtomic {
			return ""
		}
		in.Off += int16(pick(1, -1, 2, -2, 4, -4, 8, -8))
		return "offset"
	case 4:
		switch row.Kind {
		case isa.KindALU:
			if turn(isa.ALU(row.Fn, 96-row.Width, row.Imm)) {
				return "alu width"
			}
		case isa.KindCondJump:
			if turn(isa.CondJump(row.Fn, 96-row.Width, row.Imm)) {
				return "jump width"
			}
		case isa.KindLoad:
			if turn(isa.Load(uint8(pick(8, 16, 32, 64)), row.Signed)) {
				return "load width"
			}
		case isa.KindStore:
			if turn(isa.Store(uint8(pick(8, 16, 32, 64)), row.Imm)) {
				return "store width"
			}
		case isa.KindAtomic:
			if turn(isa.Store(row.Width, false)) {
				return "atomic removed"
			}
		}
	case 5:
		if row.Kind == isa.KindLoad && turn(isa.Load(row.Width, !row.Signed)) {
			return "load sign"
		}
		swap := map[isa.Fn]isa.Fn{isa.FnDiv: isa.FnSDiv, isa.FnSDiv: isa.FnDiv, isa.FnMod: isa.FnSMod, isa.FnSMod: isa.FnMod, isa.FnRsh: isa.FnArsh, isa.FnArsh: isa.FnRsh,
			isa.FnJgt: isa.FnJsgt, isa.FnJge: isa.FnJsge, isa.FnJlt: isa.FnJslt, isa.FnJle: isa.FnJsle, isa.FnJsgt: isa.FnJgt, isa.FnJsge: isa.FnJge, isa.FnJslt: isa.FnJlt, isa.FnJsle: isa.FnJle}
		if fn, ok := swap[row.Fn]; ok {
			op := isa.ALU(fn, row.Width, row.Imm)
			if row.Kind == isa.KindCondJump {
				op = isa.CondJump(fn, row.Width, row.Imm)
			}
			if turn(op) {
				return "sign"
			}
		}
	case 6:
		if in.IsCall() || row.Kind == isa.KindExit || row.Kind == isa.KindJump {
			return ""
		}
		in.Dst = isa.Reg(r.IntN(10))
		return "destination"
	case 7:
		if row.Imm || in.IsCall() || row.Kind == isa.KindExit || row.Kind == isa.KindJump {
			return ""
		}
		in.Src = isa.Reg(r.IntN(11))
		return "source"
	case 8:
		if in.Target < 0 {
			return ""
		}
		in.Target = r.IntN(len(f.Insns))
		return "target"
	case 9:
		inverse := map[isa.Fn]isa.Fn{isa.FnJeq: isa.FnJne, isa.FnJne: isa.FnJeq, isa.FnJgt: isa.FnJge, isa.FnJge: isa.FnJgt, isa.FnJlt: isa.FnJle, isa.FnJle: isa.FnJlt, isa.FnJset: isa.FnJeq,
			isa.FnAdd: isa.FnOr, isa.FnOr: isa.FnXor, isa.FnXor: isa.FnAdd, isa.FnSub: isa.FnAdd, isa.FnAnd: isa.FnOr, isa.FnLsh: isa.FnRsh}
		fn, ok := inverse[row.Fn]
		if ok && (row.Kind == isa.KindCondJump && turn(isa.CondJump(fn, row.Width, row.Imm)) || row.Kind == isa.KindALU && turn(isa.ALU(fn, row.Width, row.Imm)) ||
			row.Kind == isa.KindAtomic && turn(isa.Atomic(fn, row.Width, row.Fetch))) {
			return "operation"
		}
	case 10:
		o := f.Insns[r.IntN(len(f.Insns))]
		if in.Target >= 0 || o.Target >= 0 || row.Kind == isa.KindExit {
			return ""
		}
		*in = o
		return "copy"
	case 11:
		j := r.IntN(len(f.Insns))
		o := f.Insns[j]
		if o.Target >= 0 || f.Splice(k, k, []prog.Insn{o}) != nil {
			return ""
		}
		return "insert"
	}
	return ""
}
