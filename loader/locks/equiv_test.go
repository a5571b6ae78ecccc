package locks

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/superbpf/superbpf/loader"
	"github.com/superbpf/superbpf/loader/kerneltest"
	"github.com/superbpf/superbpf/optimizer/equiv"
	"github.com/superbpf/superbpf/optimizer/equiv/mutate"
	"github.com/superbpf/superbpf/optimizer/pass"
	"github.com/superbpf/superbpf/optimizer/pipeline"
	"github.com/superbpf/superbpf/optimizer/prog"
	"github.com/superbpf/superbpf/optimizer/smt"
)

var pairs = flag.Int("kernel.pairs", 12, "random programs whose rewrites are proved and then run beside them in the kernel")

// court runs programs that a proof calls equal side by side in the kernel.
type court struct {
	v, analyst    *equiv.Validator
	passes        []pipeline.Transform
	state, table  *loader.RawMap
	run           loader.TestRun
	equal, loaded int // rewrites proved; of these, loaded in both forms
	by            map[string]int
}

func newCourt(t testing.TB) *court {
	kerneltest.Require(t)
	k := &court{run: loader.TestRun{Out: make([]byte, 0, 512)}, by: map[string]int{}}
	var err error
	if k.v, err = equiv.New(equiv.Options{Limits: smt.Limits{Steps: 100_000, Wall: 300 * time.Millisecond}}); err != nil {
		if os.Getenv("SUPERBPF_REQUIRE_Z3") != "" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	t.Cleanup(k.v.Close)
	if k.analyst, err = equiv.New(equiv.Options{Solver: "none"}); err != nil {
		t.Fatal(err)
	}
	k.passes = pass.All(pass.Config{MCPU: 4, Validator: k.analyst})
	for _, m := range []struct {
		def *prog.Map
		to  **loader.RawMap
	}{{State, &k.state}, {Table, &k.table}} {
		if *m.to, err = loader.NewRawMap(uint32(m.def.Type), int(m.def.KeySize), int(m.def.ValueSize), int(m.def.MaxEntries)); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { (*m.to).Close() })
	}
	return k
}

func (k *court) load(f *prog.Func) (*loader.RawProg, error) {
	code, err := Encode(f, map[string]int{State.Name: k.state.FD(), Table.Name: k.table.FD()})
	if err != nil {
		return nil, err
	}
	return loader.LoadRaw(uint32(f.Type), code, loader.RawOptions{Name: "pair"})
}

// outcome runs a program once and writes down what it did.
func (k *court) outcome(p *loader.RawProg, packet, state []byte, entries map[uint32][]byte) (string, error) {
	if err := k.state.Update(make([]byte, 4), state); err != nil {
		return "", err
	}
	var b strings.Builder
	for key := range uint32(8) {
		name := []byte{byte(key), 0, 0, 0}
		var err error
		if v := entries[key]; v != nil {
			err = k.table.Update(name, v)
		} else {
			err = k.table.Delete(name)
		}
		if err != nil {
			return "", err
		}
	}
	k.run.Prog, k.run.Data = p.FD(), packet
	if err := k.run.Run(); err != nil {
		return "", err
	}
	fmt.Fprintf(&b, "returns %d\npacket %x\n", k.run.Ret, k.run.Out)
	value := make([]byte, State.ValueSize)
	if err := k.state.Lookup(make([]byte, 4), value); err != nil {
		return "", err
	}
	for at := 0; at < len(value); at += 16 {
		fmt.Fprintf(&b, "state+%d %x\n", at, value[at:min(at+16, len(value))])
	}
	value = make([]byte, Table.ValueSize)
	for key := range byte(8) {
		if k.table.Lookup([]byte{key, 0, 0, 0}, value) == nil {
			fmt.Fprintf(&b, "table[%d] %x\n", key, value)
		}
	}
	return b.String(), nil
}

// alike runs two programs that are said to be equal on the same inputs.
func (k *court) alike(r *rand.Rand, p, q *prog.Func, n int) error {
	a, err := k.load(p)
	if err != nil {
		return nil // the kernel takes only what it can check
	}
	defer a.Close()
	b, err := k.load(q)
	if err != nil {
		return nil
	}
	defer b.Close()
	k.loaded++
	for _, in := range randomInputs(r, n) {
		entries := map[uint32][]byte{}
		for key := range uint32(8) {
			if r.IntN(2) == 0 {
				v := make([]byte, Table.ValueSize)
				for i := range v {
					v[i] = byte(r.Uint32())
				}
				entries[key] = v
			}
		}
		state := in.Maps[State.Name][0].Value
		x, err := k.outcome(a, in.Packet, state, entries)
		if err != nil {
			return err
		}
		packet := bytes.Clone(in.Packet)
		y, err := k.outcome(b, packet, state, entries)
		if err != nil {
			return err
		}
		if x != y {
			return fmt.Errorf("on packet %x, state %x, table %x\n%s", in.Packet, state, entries, unlike(x, y))
		}
	}
	return nil
}

func unlike(x, y string) string {
	var b strings.Builder
	xs, ys := strings.Split(x, "\n"), strings.Split(y, "\n")
	for i := range max(len(xs), len(ys)) {
		if i >= len(xs) || i >= len(ys) || xs[i] != ys[i] {
			fmt.Fprintf(&b, "%s, but %s\n", append(xs[i:], "nothing")[0], append(ys[i:], "nothing")[0])
		}
	}
	return b.String()
}

// try rewrites f by so many passes, or by all twice if 0, and by damage, and runs
// all that is proved equal.
// Each proof has so long.
func (k *court) try(r *rand.Rand, f *prog.Func, inputs, passes int, long time.Duration) error {
	f.Compact()
	for k := range f.Insns {
		f.Insns[k].Origin = k
	}
	ctx := context.Background()
	cur := f
	judge := func(from, q *prog.Func, how string) (bool, error) {
		once, cancel := context.WithTimeout(ctx, long)
		defer cancel()
		if k.v.Func(once, from, q).Verdict != equiv.Equal {
			return false, nil
		}
		k.equal++
		k.by[how]++
		if err := k.alike(r, f, q, inputs); err != nil {
			return true, fmt.Errorf("%s: %w\n-- p --\n%s-- q --\n%s", how, err, prog.FormatFunc(f), prog.FormatFunc(q))
		}
		return true, nil
	}
	for round := range 2 {
		order := slices.Clone(k.passes)
		if passes > 0 || round == 0 && r.IntN(2) == 0 { // what one pass leaves another may not see
			r.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
		}
		if passes > 0 {
			order = order[:min(passes/2, len(order))]
		}
		for _, t := range order {
			few := r.IntN(3) == 0
			q, _ := t.Run(ctx, cur, func(int) bool { return !few || r.IntN(2) == 0 })
			if q == nil {
				continue
			}
			q.Compact()
			ok, err := judge(cur, q, t.Name())
			if err != nil {
				return err
			}
			if ok {
				cur = q
			}
		}
	}
	for range inputs {
		q := cur.Clone()
		how := mutate.Damage(r, q)
		if how == "" || prog.Check(q) != nil || prog.SameCode(cur, q) {
			continue
		}
		if _, err := judge(cur, q, "damage: "+how); err != nil {
			return err
		}
	}
	return nil
}

// Programs that a proof calls equal do the same in the kernel.
func TestEqualIsEqualInTheKernel(t *testing.T) {
	k := newCourt(t)
	r := rand.New(rand.NewPCG(*seed, 17))
	for n := range *pairs {
		f := Woven(r, 2+r.IntN(12))
		if n%3 == 2 {
			f = Program(r, 4+r.IntN(30), nil)
		}
		if err := k.try(r, f, 12, 0, 5*time.Second); err != nil {
			t.Fatalf("seed %d, program %d: %v", *seed, n, err)
		}
	}
	if k.loaded < k.equal/2 || k.loaded < *pairs {
		t.Errorf("the kernel takes only %d of %d rewrites", k.loaded, k.equal)
	}
	t.Logf("seed %d: %d programs, %d rewrites called equal, %d of them run: %v", *seed, *pairs, k.equal, k.loaded, k.by)
}

// FuzzEquivKernel lets the fuzzer choose the random numbers of the programs, of
// their rewrites and of the inputs. The fuzzer gives an input ten seconds: these
// programs are small.
func FuzzEquivKernel(f *testing.F) {
	for n := range uint8(8) {
		f.Add(uint64(n), uint64(n)*7, 33*n)
	}
	k := newCourt(f)
	f.Fuzz(func(t *testing.T, a, b uint64, n uint8) {
		r := rand.New(rand.NewPCG(a, b))
		p := Woven(r, 1+int(n)%6)
		if n >= 192 {
			p = Program(r, 1+int(n)%16, nil)
		}
		if err := k.try(r, p, 3, 8, 500*time.Millisecond); err != nil {
			t.Fatal(err)
		}
	})
}
