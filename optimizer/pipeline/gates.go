package pipeline

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/superbpf/superbpf/optimizer/prog"
	"github.com/superbpf/superbpf/optimizer/steps"
)

// refusesInput is why a function is left alone that no kernel can judge.
const refusesInput = "the kernel refuses the input itself"

// ProgResult is what the kernels said about one program before and after.
type ProgResult struct {
	Name string
	// Before and After are the words of the first kernel that accepts the input,
	// or of the first asked if none does.
	Before, After GateResult
	Kernels       []KernelResult
}

// KernelResult is one kernel's word. A kernel that refuses the input cannot
// judge the rest; its After is as its Before.
type KernelResult struct {
	Name          string
	Before, After GateResult
}

// Judges lists the kernels that accept the input.
func (p *ProgResult) Judges() []string {
	var out []string
	for _, k := range p.Kernels {
		if k.Before.Accepted {
			out = append(out, k.Name)
		}
	}
	return out
}

// summarize takes the figures of the first kernel that can judge.
func (p *ProgResult) summarize() {
	for _, k := range p.Kernels {
		if k.Before.Accepted {
			p.Before, p.After = k.Before, k.After
			return
		}
	}
	if len(p.Kernels) > 0 {
		p.Before, p.After = p.Kernels[0].Before, p.Kernels[0].After
	}
}

// baseline loads the input's programs as they are.
func (d *driver) baseline(ctx context.Context, res *Result) error {
	in, err := d.obj.Encode(nil)
	if err != nil {
		return err
	}
	for _, f := range d.obj.Functions() {
		if !f.Entry {
			continue
		}
		p := ProgResult{Name: f.Name}
		rs, err := ask(ctx, d.opt.Gates, in, f.Name, false)
		if err != nil && ctx.Err() != nil {
			// A verifier may take long; what it was not asked stays as it is.
			rs = make([]GateResult, len(d.opt.Gates))
			for k := range rs {
				rs[k] = GateResult{Reason: "interrupted before it answered", FailSlot: -1}
			}
		} else if err != nil {
			return err
		}
		for k, g := range d.opt.Gates {
			p.Kernels = append(p.Kernels, KernelResult{g.Name(), rs[k], rs[k]})
			if rs[k].Accepted {
				d.judges[f.Name] = append(d.judges[f.Name], g)
				d.before[f.Name] += rs[k].VerifiedInsns
			}
		}
		p.summarize()
		res.Programs = append(res.Programs, p)
	}
	return nil
}

// inputProcessed is what the kernels process of the programs that contain function i,
// known where these are as they came.
func (d *driver) inputProcessed(i int) (n int, known bool) {
	users := d.obj.Users(i)
	for j := range d.replaced {
		if slices.ContainsFunc(d.obj.Users(j), func(p string) bool { return slices.Contains(users, p) }) {
			return 0, false
		}
	}
	for _, p := range users {
		n += d.before[p]
	}
	return n, true
}

// ask puts one program of an object before gates. The first is asked alone, the
// others at once. With brief, a refusal by the first is enough: the answers end
// with it.
func ask(ctx context.Context, gates []Gate, object []byte, program string, brief bool) ([]GateResult, error) {
	rs := make([]GateResult, len(gates))
	errs := make([]error, len(gates))
	one := func(k int) {
		load := gates[k].Load
		if w, ok := gates[k].(WholeGate); ok && !brief {
			load = w.LoadWhole
		}
		rs[k], errs[k] = load(ctx, object, program)
		rs[k].Kernel = gates[k].Name()
		if errs[k] != nil {
			errs[k] = fmt.Errorf("kernel %s, program %s: %w", gates[k].Name(), program, errs[k])
		}
	}
	one(0)
	if errs[0] != nil || brief && !rs[0].Accepted {
		return rs[:1], errs[0]
	}
	var wg sync.WaitGroup
	for k := range gates[1:] {
		wg.Go(func() { one(k + 1) })
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return nil, err
		}
	}
	return rs, nil
}

// gate loads every program that contains function i, with cand in its place.
// The figures of the result are sums over programs and kernels.
func (d *driver) gate(ctx context.Context, i int, cand *prog.Func) (GateResult, error) {
	res, n, err := d.loads(ctx, i, cand)
	steps.Spend(ctx, n)
	return res, err
}

// loads is gate without taking the steps, which it returns: so it may run beside a
// proof.
func (d *driver) loads(ctx context.Context, i int, cand *prog.Func) (sum GateResult, n int64, err error) {
	repl := maps.Clone(d.replaced)
	repl[i] = cand
	obj, err := d.obj.Encode(repl)
	if err != nil {
		return GateResult{Reason: err.Error(), FailSlot: -1}, n, nil
	}
	sum = GateResult{Accepted: true, FailSlot: -1}
	for _, p := range d.obj.Users(i) {
		if len(d.judges[p]) == 0 {
			continue
		}
		rs, err := ask(ctx, d.judges[p], obj, p, true)
		if err != nil {
			return GateResult{}, n, err
		}
		n += stepLoad + stepWritten*int64(len(cand.Insns))
		var refusals []GateResult
		for _, r := range rs {
			n += stepVerified * int64(r.VerifiedInsns+r.Besides)
			sum.VerifiedInsns += r.VerifiedInsns
			if !r.Accepted {
				// It was verified again, to hear why.
				n += stepVerified * int64(r.VerifiedInsns)
				refusals = append(refusals, r)
			}
		}
		if len(refusals) > 0 {
			r := refusals[0]
			r.Reason = r.Kernel + ": " + r.Reason
			r.Others = refusals[1:]
			return r, n, nil
		}
	}
	return sum, n, nil
}

// Confirm loads the programs of a result's output and fills in what the
// kernels say of them. It works after ctx was cancelled, too: the best so far
// must be checked as well.
func Confirm(ctx context.Context, res *Result, gates []Gate) error {
	ctx = context.WithoutCancel(ctx)
	for n := range res.Programs {
		p := &res.Programs[n]
		for k := range p.Kernels {
			v := &p.Kernels[k]
			v.After = v.Before
			if !v.Before.Accepted || len(res.Replaced) == 0 {
				continue
			}
			rs, err := ask(ctx, gates[k:k+1], res.Output, p.Name, false)
			if err != nil {
				return err
			}
			if v.After = rs[0]; !v.After.Accepted {
				return fmt.Errorf("%s: kernel %s refuses the final object although every step was accepted: %s", p.Name, v.Name, v.After.Reason)
			}
		}
		p.summarize()
	}
	return nil
}
