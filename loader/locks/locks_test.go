package locks

import (
	"bytes"
	"encoding/binary"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/superbpf/superbpf/loader"
	"github.com/superbpf/superbpf/loader/kerneltest"
	"github.com/superbpf/superbpf/optimizer/interp"
	"github.com/superbpf/superbpf/optimizer/isa"
	"github.com/superbpf/superbpf/optimizer/prog"
)

var (
	programs = flag.Int("kernel.programs", 3000, "random programs to compare with the kernel")
	seed     = flag.Uint64("kernel.seed", 1, "their seed")
)

// referee runs programs in the kernel and in the interpreter.
type referee struct {
	state *loader.RawMap
	m     *interp.Machine
	run   loader.TestRun
	value []byte
}

func newReferee(t testing.TB) *referee {
	kerneltest.Require(t)
	state, err := loader.NewRawMap(uint32(State.Type), int(State.KeySize), int(State.ValueSize), int(State.MaxEntries))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { state.Close() })
	return &referee{state: state, m: interp.New(), value: make([]byte, State.ValueSize),
		run: loader.TestRun{Out: make([]byte, 0, 512)}}
}

// compare runs f on both sides. The first result says whether the kernel's
// checker accepted the program; the error describes a disagreement.
// Maps other than the state start empty on each input.
func (k *referee) compare(f *prog.Func, inputs []interp.Input) (loaded bool, err error) {
	others := map[string]*prog.Map{}
	for _, in := range f.Insns {
		if in.Ref != nil && in.Ref.Map != nil && in.Ref.Name != State.Name {
			others[in.Ref.Name] = in.Ref.Map
		}
	}
	if len(others) == 0 {
		return k.compareWith(f, inputs, map[string]int{State.Name: k.state.FD()})
	}
	k.m = interp.New() // maps of other files may have the same names
	for n := range inputs {
		fds := map[string]int{State.Name: k.state.FD()}
		for name, def := range others {
			m, err := loader.NewRawMap(uint32(def.Type), int(def.KeySize), int(def.ValueSize), int(def.MaxEntries))
			if err != nil {
				return false, err
			}
			defer m.Close()
			fds[name] = m.FD()
		}
		if ok, err := k.compareWith(f, inputs[n:n+1], fds); !ok || err != nil {
			return ok, err
		}
	}
	return true, nil
}

func (k *referee) compareWith(f *prog.Func, inputs []interp.Input, fds map[string]int) (loaded bool, err error) {
	code, err := Encode(f, fds)
	if err != nil {
		return false, err
	}
	p, err := loader.LoadRaw(uint32(f.Type), code, loader.RawOptions{Name: "random"})
	if err != nil {
		return false, nil
	}
	defer p.Close()
	key := make([]byte, 4)
	for _, in := range inputs {
		if err := k.state.Update(key, in.Maps[State.Name][0].Value); err != nil {
			return true, err
		}
		k.run.Prog, k.run.Data = p.FD(), in.Packet
		if err := k.run.Run(); err != nil {
			return true, err
		}
		if err := k.state.Lookup(key, k.value); err != nil {
			return true, err
		}
		for _, k.m.Reference = range []bool{false, true} {
			ready, err := k.m.Load(f, nil)
			if err != nil {
				return true, err
			}
			out, err := k.m.Run(ready, &in)
			if err != nil {
				return true, err
			}
			got := make([]byte, State.ValueSize)
			if e := out.Maps[State.Name]; len(e) > 0 {
				copy(got, e[0].Value)
			}
			how := fmt.Sprintf("input %x %x, reference %v", in.Packet, in.Maps[State.Name][0].Value, k.m.Reference)
			switch {
			case uint32(out.R0) != k.run.Ret:
				return true, fmt.Errorf("r0 is %#x, the kernel's %#x (%s)", out.R0, k.run.Ret, how)
			case !bytes.Equal(out.Packet, k.run.Out):
				return true, fmt.Errorf("packet is\n%x, the kernel's\n%x (%s)", out.Packet, k.run.Out, how)
			case !bytes.Equal(got, k.value):
				return true, fmt.Errorf("map is\n%x, the kernel's\n%x (%s)", got, k.value, how)
			}
		}
	}
	return true, nil
}

func randomInputs(r *rand.Rand, n int) []interp.Input {
	out := make([]interp.Input, n)
	for k := range out {
		packet, value := make([]byte, packetLen+r.IntN(16)), make([]byte, State.ValueSize)
		for i := range packet {
			packet[i] = byte(r.Uint32())
		}
		for i := 0; i < regsAt; i += 8 {
			for j, v := 0, Corner(r); j < 8; j++ {
				value[i+j] = byte(v >> (8 * j))
			}
		}
		out[k] = interp.Input{Packet: packet, Maps: map[string][]interp.Entry{State.Name: {{Key: make([]byte, 4), Value: value}}}}
	}
	return out
}

func TestEveryRowAgreesWithKernel(t *testing.T) {
	k := newReferee(t)
	r := rand.New(rand.NewPCG(*seed, 7))
	for _, row := range rows {
		loaded := 0
		for range 12 {
			f := Program(r, 6, row)
			ok, err := k.compare(f, randomInputs(r, 6))
			if err != nil {
				t.Errorf("%s: %v\n%s", row.Name, err, list(f))
				break
			}
			if ok {
				loaded++
			}
		}
		if loaded == 0 {
			t.Errorf("%s: the kernel refused every program", row.Name)
		}
	}
}

func TestRandomProgramsAgreeWithKernel(t *testing.T) {
	k := newReferee(t)
	r := rand.New(rand.NewPCG(*seed, 11))
	loaded, tried := 0, 0
	for loaded < *programs {
		tried++
		if tried > 1000 && loaded < tried/4 {
			t.Fatalf("the kernel accepted only %d of %d programs", loaded, tried)
		}
		f := Program(r, 4+r.IntN(40), nil)
		ok, err := k.compare(f, randomInputs(r, 2))
		if err != nil {
			t.Fatalf("seed %d, program %d: %v\n%s", *seed, tried, err, list(f))
		}
		if ok {
			loaded++
		}
	}
	t.Logf("seed %d: %d of %d programs loaded, no disagreement", *seed, loaded, tried)
}

// TestFiles runs the programs that once disagreed, and a program for each helper
// whose result the interpreter computes.
func TestFiles(t *testing.T) {
	k := newReferee(t)
	r := rand.New(rand.NewPCG(*seed, 13))
	for _, dir := range []string{"bugs", "helpers"} {
		files, _ := filepath.Glob("testdata/" + dir + "/*.txt")
		if len(files) == 0 {
			t.Fatalf("no files in testdata/%s", dir)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			f, err := prog.ParseFunc(file, string(text))
			if err != nil {
				t.Fatal(err)
			}
			ok, err := k.compare(f, randomInputs(r, 400))
			if err != nil {
				t.Errorf("%s: %v", file, err)
			} else if !ok {
				t.Errorf("%s: the kernel refused it", file)
			}
		}
	}
}

// TestDeviations runs the programs in which a kernel is known to depart from the
// instruction set's definition, and says whether this one does. They show what
// random programs must avoid; the interpreter follows the definition.
func TestDeviations(t *testing.T) {
	k := newReferee(t)
	files, _ := filepath.Glob("testdata/deviations/*.txt")
	if len(files) == 0 {
		t.Fatal("no files in testdata/deviations")
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		f, err := prog.ParseFunc(file, string(text))
		if err != nil {
			t.Fatal(err)
		}
		inputs := randomInputs(rand.New(rand.NewPCG(1, 2)), 1)
		value := inputs[0].Maps[State.Name][0].Value
		binary.LittleEndian.PutUint64(value[initAt:], 0xdeadbeef00000001)
		binary.LittleEndian.PutUint64(value[initAt+8:], 0)
		ok, err := k.compare(f, inputs)
		if !ok {
			t.Errorf("%s: the kernel refused it: %v", file, err)
		}
		t.Logf("%s: this kernel deviates: %v", file, err != nil)
	}
}

// FuzzKernel lets the fuzzer choose the generator's random numbers.
func FuzzKernel(f *testing.F) {
	f.Add(uint64(1), uint64(2), uint8(20))
	k := newReferee(f)
	f.Fuzz(func(t *testing.T, a, b uint64, n uint8) {
		r := rand.New(rand.NewPCG(a, b))
		p := Program(r, 1+int(n)%64, nil)
		if _, err := k.compare(p, randomInputs(r, 2)); err != nil {
			t.Fatalf("%v\n%s", err, list(p))
		}
	})
}

func list(f *prog.Func) string {
	var b strings.Builder
	for k, in := range f.Insns {
		fmt.Fprintf(&b, "%3d %s\n", k, isa.Format(in.Insn, fmt.Sprint(in.Target)))
	}
	return b.String()
}
