package elf

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/superbpf/superbpf/optimizer/isa"
	"github.com/superbpf/superbpf/optimizer/prog"
)

// rewritten makes another function of f: instructions in, out, exchanged, jumps
// elsewhere. What the loader patches stays as it is.
func rewritten(r *rand.Rand, f *prog.Func) *prog.Func {
	g := f.Clone()
	for range 1 + r.IntN(8) {
		k := r.IntN(len(g.Insns))
		in := &g.Insns[k]
		switch r.IntN(5) {
		case 0:
			var repl []prog.Insn
			for range 1 + r.IntN(3) {
				repl = append(repl, prog.New(isa.Insn{Op: isa.ALU(isa.FnMov, 64, true), Dst: isa.Reg(r.IntN(10)), Imm: int64(int32(r.Uint32()))}))
			}
			if r.IntN(4) == 0 {
				repl = append(repl, prog.New(isa.Insn{Op: isa.LoadImm, Dst: 1, Imm: int64(r.Uint64())}))
			}
			if err := g.Splice(k, k, repl); err != nil {
				panic(err)
			}
		case 1:
			if !in.EndsBlock() {
				g.Insns[k] = prog.New(isa.Insn{Op: isa.Nop})
			}
		case 2:
			if k > 0 && in.Target < 0 && g.Insns[k-1].Target < 0 && !in.EndsBlock() && !g.Insns[k-1].EndsBlock() {
				g.Insns[k], g.Insns[k-1] = g.Insns[k-1], g.Insns[k]
			}
		case 3:
			if in.Target >= 0 {
				in.Target = r.IntN(len(g.Insns))
			}
		case 4:
			if !in.Frozen() && in.Ref == nil && in.Row().Kind == isa.KindALU {
				in.Dst = isa.Reg(r.IntN(10))
			}
		}
	}
	g.Compact()
	if prog.Check(g) != nil {
		return f.Clone()
	}
	return g
}

// FuzzWrite: what is written is what is read, whatever functions became; the
// others stay as they were, and writing it again changes nothing.
func FuzzWrite(f *testing.F) {
	var objects [][]byte
	for _, name := range []string{"sample.c", "tables.c", "core.c", "calls.c", "legacy.c", "extern.c"} {
		for _, flags := range [][]string{{"-g", "-mcpu=v1"}, {"-mcpu=v4"}} {
			if raw := compile(f, name, flags...); raw != nil {
				if _, err := Read(raw); err == nil {
					objects = append(objects, raw)
				}
			}
		}
	}
	if len(objects) < 6 {
		f.Fatalf("only %d objects can be read", len(objects))
	}
	for n := range uint64(2 * len(objects)) {
		f.Add(n, n*31)
	}
	f.Fuzz(func(t *testing.T, which, seed uint64) {
		raw := objects[which%uint64(len(objects))]
		r := rand.New(rand.NewPCG(which, seed))
		o, err := Read(raw)
		if err != nil {
			t.Fatal(err)
		}
		repl := map[int]*prog.Func{}
		for i, fn := range o.Functions() {
			if fn.Unsupported == "" && r.IntN(3) > 0 {
				repl[i] = rewritten(r, fn)
			}
		}
		out, err := o.Encode(repl)
		if err != nil {
			return // too far for a jump, for instance
		}
		p, err := Read(out)
		if err != nil {
			t.Fatalf("what was written cannot be read: %v", err)
		}
		if len(p.Functions()) != len(o.Functions()) {
			t.Fatalf("%d functions became %d", len(o.Functions()), len(p.Functions()))
		}
		for i, fn := range p.Functions() {
			want := o.Functions()[i]
			if repl[i] != nil {
				want = repl[i]
			}
			if fn.Name != want.Name || (fn.Unsupported == "") != (want.Unsupported == "") || !prog.SameCodeRefs(want, fn) {
				t.Fatalf("%s is read as\n%s, but was written as\n%s", want.Name, prog.FormatFunc(fn), prog.FormatFunc(want))
			}
		}
		if again, err := p.Encode(nil); err != nil || !bytes.Equal(again, out) {
			t.Fatalf("written again it is another object (%v)", err)
		}
	})
}

// A jump takes the long form where the short one does not reach, and only there.
func TestFarJumps(t *testing.T) {
	o := read(t, compile(t, "sample.c", "-g", "-mcpu=v2"))
	for between, want := range map[int]isa.Op{3: isa.Ja, 32767: isa.Ja, 32768: isa.Gotol} {
		f := o.Functions()[0].Clone()
		zero := prog.New(isa.Insn{Op: isa.ALU(isa.FnMov, 64, true), Dst: isa.R0})
		jump := prog.New(isa.Insn{Op: isa.Ja})
		jump.Target = 2 + between
		f.Insns = append(append([]prog.Insn{zero, jump}, slices.Repeat([]prog.Insn{zero}, between)...), prog.New(isa.Insn{Op: isa.Exit}))
		out, err := o.Encode(map[int]*prog.Func{0: f})
		if err != nil {
			t.Fatal(err)
		}
		if in := read(t, out).Functions()[0].Insns[1]; in.Op != want || in.Target != jump.Target {
			t.Errorf("over %d instructions: %s to %d, not to %d", between, in.Row().Name, in.Target, jump.Target)
		}
	}
}
