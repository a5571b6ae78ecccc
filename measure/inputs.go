package measure

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"sort"

	"github.com/superbpf/superbpf/loader"
	"github.com/superbpf/superbpf/traffic"
	"github.com/superbpf/superbpf/traffic/testbed"
)

// Packets turns packets into inputs of equal weight.
func Packets(packets [][]byte) []Input {
	in := make([]Input, len(packets))
	for i, p := range packets {
		in[i].Data = p
	}
	return in
}

// Contexts turns contexts into inputs of equal weight, for types that take no
// packet.
func Contexts(ctxs [][]byte) []Input {
	in := make([]Input, len(ctxs))
	for i, c := range ctxs {
		in[i].Ctx = c
	}
	return in
}

// Sizes in bytes of the contexts of types that get no packet: twelve arguments of
// a raw tracepoint, and what a syscall program is given here.
const (
	rawTracepointCtx = 12 * 8
	syscallCtx       = 256
)

// InputsFor makes inputs that suit the program's type: the packets, or as many
// random contexts for the types that get no packet.
func InputsFor(s Subject, packets [][]byte, seed uint64) ([]Input, error) {
	ns, err := testbed.NewNamespace()
	if err != nil {
		return nil, err
	}
	defer ns.Close()
	var kind progKind
	err = ns.Do(func() error {
		inst, err := s.Load()
		if err != nil {
			return err
		}
		_, kind, err = kindOf(inst)
		return errors.Join(err, inst.close())
	})
	switch {
	case err != nil:
		return nil, fmt.Errorf("%s: %w", s.Name, err)
	case kind.name == "raw_tracepoint" || kind.name == "raw_tracepoint_writable":
		return Contexts(traffic.Contexts(seed, len(packets), rawTracepointCtx)), nil
	case kind.name == "syscall":
		return Contexts(traffic.Contexts(seed, len(packets), syscallCtx)), nil
	}
	return Packets(packets), nil
}

// probeInputs bounds how many inputs Representatives looks at.
const probeInputs = 4000

// Representatives picks at most k inputs to time a program on: the program runs
// once on each input, and those on which it returns the same value and changes
// the same bytes are taken for one path. Each path gives its first input, with
// the path's share as weight; the rarest paths beyond k are left out.
func Representatives(ctx context.Context, s Subject, inputs []Input, k int) ([]Input, error) {
	ns, err := testbed.NewNamespace()
	if err != nil {
		return nil, err
	}
	defer ns.Close()
	var paths []Input
	err = ns.Do(func() error {
		paths, err = representatives(ctx, s, inputs[:min(len(inputs), probeInputs)])
		return err
	})
	if err != nil {
		return nil, err
	}
	sort.SliceStable(paths, func(i, j int) bool { return paths[i].Weight > paths[j].Weight })
	if len(paths) == 0 {
		return nil, fmt.Errorf("%s: %w", s.Name, errNoRuns(len(inputs)))
	}
	return paths[:min(k, len(paths))], nil
}

func representatives(ctx context.Context, s Subject, inputs []Input) (paths []Input, err error) {
	inst, err := s.Load()
	if err != nil {
		return nil, err
	}
	defer inst.close()
	e, err := newExecutor(inst)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", s.Name, err)
	}
	defer func() { err = errors.Join(err, e.close()) }()
	if err := e.adopt(inst); err != nil {
		return nil, err
	}
	at := map[string]int{}
	var r loader.TestRun
	var errs [1]error
	for _, in := range inputs {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if err := e.run([]*Instance{inst}, in, []*loader.TestRun{&r}, errs[:]); err != nil {
			return nil, typedError(s.Name, err)
		}
		if errs[0] != nil {
			continue
		}
		key := e.path(&r, in)
		i, seen := at[key]
		if !seen {
			i = len(paths)
			at[key] = i
			in.Name, in.Weight = fmt.Sprintf("path %d (returns %d)", i+1, int32(r.Ret)), 0
			paths = append(paths, in)
		}
		paths[i].Weight++
	}
	for i := range paths {
		paths[i].Weight /= float64(len(inputs))
		paths[i].Name += fmt.Sprintf(", %.1f %% of the inputs", 100*paths[i].Weight)
	}
	return paths, nil
}

// path tells paths apart.
func (e *executor) path(r *loader.TestRun, in Input) string {
	if e.rig != nil {
		return fmt.Sprint(r.Ret, e.rig.changed(in, r))
	}
	return pathKey(r, in)
}

// pathKey tells apart what can be seen of a program's paths: its verdict, the
// change of length, which bytes it changed, and the packet's kind (EtherType
// and, for IP, protocol).
func pathKey(r *loader.TestRun, in Input) string {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%d %d ", r.Ret, r.OutLen-len(in.Data))
	if len(in.Data) >= 24 {
		fmt.Fprintf(&b, "%x ", in.Data[12:14])
		switch {
		case slices.Equal(in.Data[12:14], []byte{8, 0}):
			b.WriteByte(in.Data[23])
		case slices.Equal(in.Data[12:14], []byte{0x86, 0xdd}):
			b.WriteByte(in.Data[20])
		}
	}
	for i := range min(len(r.Out), len(in.Data), 64) {
		if r.Out[i] != in.Data[i] {
			fmt.Fprintf(&b, " %d", i)
		}
	}
	return b.String()
}
