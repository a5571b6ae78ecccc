package pipeline

import (
	"slices"

	"github.com/superbpf/superbpf/optimizer/cost"
	"github.com/superbpf/superbpf/optimizer/isa"
	"github.com/superbpf/superbpf/optimizer/prog"
)

// callGraph prices what the functions of an object call, as they are now.
type callGraph struct {
	byName map[string]int // functions of that name, -1 if there are several
	// times has by body the time of one run with all that it calls.
	times map[*prog.Func]float64
}

func newCallGraph(funcs []*prog.Func) *callGraph {
	g := &callGraph{map[string]int{}, map[*prog.Func]float64{}}
	for i, f := range funcs {
		if _, twice := g.byName[f.Name]; twice {
			i = -1
		}
		g.byName[f.Name] = i
	}
	return g
}

// target is the function that an instruction refers to, -1 if it is not known.
func (g *callGraph) target(in *prog.Insn) int {
	if in.Ref == nil || in.Ref.Kind != prog.RefFunc {
		return -1
	}
	if i, ok := g.byName[in.Ref.Name]; ok {
		return i
	}
	return -1
}

// targets lists the functions that f refers to.
func (g *callGraph) targets(f *prog.Func) []int {
	var out []int
	for k := range f.Insns {
		if i := g.target(&f.Insns[k]); i >= 0 {
			out = append(out, i)
		}
	}
	return out
}

// reach lists the functions that are reached from those given, these included, when
// each has the body that body gives.
func (g *callGraph) reach(from []int, body func(i int) *prog.Func) []int {
	var out []int
	seen := map[int]bool{}
	var visit func(i int)
	visit = func(i int) {
		if seen[i] {
			return
		}
		seen[i] = true
		out = append(out, i)
		for _, t := range g.targets(body(i)) {
			visit(t)
		}
	}
	for _, i := range from {
		visit(i)
	}
	return out
}

// body is function i as it is now.
func (d *driver) body(i int) *prog.Func {
	if f := d.replaced[i]; f != nil {
		return f
	}
	return d.obj.Functions()[i]
}

// loaded tells which functions a loader takes up with the object's programs, as
// they are now: those that are called, or whose address is taken.
func (d *driver) loaded() map[int]bool {
	var from []int
	for j, f := range d.obj.Functions() {
		if f.Entry || d.graph.byName[f.Name] < 0 { // one of several of that name may be meant
			from = append(from, j)
		}
	}
	out := map[int]bool{}
	for _, j := range d.graph.reach(from, d.body) {
		out[j] = true
	}
	return out
}

// topDown orders the functions so that callers come before what they call, which
// may not be needed any more once they are done.
func (d *driver) topDown() []int {
	funcs := d.obj.Functions()
	var post []int
	seen := map[int]bool{}
	var visit func(j int)
	visit = func(j int) {
		if seen[j] {
			return
		}
		seen[j] = true
		for _, t := range slices.Backward(d.graph.targets(funcs[j])) {
			visit(t)
		}
		post = append(post, j)
	}
	for j := range slices.Backward(funcs) {
		if !funcs[j].Entry {
			visit(j)
		}
	}
	for j := range slices.Backward(funcs) {
		visit(j)
	}
	slices.Reverse(post)
	return post
}

// LoadedSlots counts the slots that are loaded with the programs that were worked on,
// before and after: of a subprogram with each of them.
func (r *Result) LoadedSlots() (before, after int) {
	var in, out []*prog.Func
	for k := range r.Functions {
		in, out = append(in, r.Functions[k].Input), append(out, r.Functions[k].Output)
	}
	graph := newCallGraph(in)
	total := func(funcs []*prog.Func, from int) (n int) {
		for _, j := range graph.reach([]int{from}, func(j int) *prog.Func { return funcs[j] }) {
			n += funcs[j].Slots()
		}
		return n
	}
	for k := range r.Functions {
		if fr := &r.Functions[k]; fr.Entry && fr.Skipped == "" {
			before += total(in, k)
			after += total(out, k)
		}
	}
	return before, after
}

// countLoaded prices functions that are called no more at nothing.
func (r *Result) countLoaded(obj Object) {
	d := &driver{obj: obj, replaced: r.Replaced, graph: newCallGraph(obj.Functions())}
	loaded := d.loaded()
	for k := range r.Functions {
		fr := &r.Functions[k]
		if fr.Skipped != "" {
			continue
		}
		fr.Uncalled, fr.After = !loaded[fr.Index], fr.Before
		switch n := len(fr.Steps); {
		case fr.Uncalled:
			fr.After = cost.Estimate{}
		case n > 0:
			fr.After = fr.Steps[n-1].Cost
		}
	}
}

// maxNesting is how deep the kernel lets calls nest.
const maxNesting = 8

// called prices what is loaded with function i, and called by it, when f is its body.
func (d *driver) called(i int, f *prog.Func, weights []float64) (c cost.Called) {
	if len(d.obj.Functions()) == 1 {
		return c
	}
	body := func(j int) *prog.Func {
		if j == i {
			return f
		}
		return d.body(j)
	}
	var from []int
	for _, name := range d.obj.Users(i) {
		if j, ok := d.graph.byName[name]; ok && j >= 0 {
			from = append(from, j)
		}
	}
	for _, j := range d.graph.reach(from, body) {
		if j != i && !body(j).Entry {
			c.Slots += body(j).Slots()
		}
	}
	for k := range f.Insns {
		if in := &f.Insns[k]; in.Row().Kind == isa.KindCallFunc {
			if t := d.graph.target(in); t >= 0 && t != i {
				w := 1.0
				if weights != nil {
					w = weights[k]
				}
				c.Nanoseconds += w * d.time(t, maxNesting)
			}
		}
	}
	return c
}

// time is what one run of function i takes with all that it calls.
func (d *driver) time(i, depth int) float64 {
	f := d.body(i)
	if t, ok := d.graph.times[f]; ok {
		return t
	}
	var w []float64
	if d.opt.Weights != nil {
		if input := d.opt.Weights(d.obj.Functions()[i]); input != nil {
			w = cost.Carry(input, f)
		}
	}
	t := d.opt.Model.Func(f, w).Nanoseconds
	for k := range f.Insns {
		if in := &f.Insns[k]; depth > 0 && in.Row().Kind == isa.KindCallFunc {
			if j := d.graph.target(in); j >= 0 {
				runs := 1.0
				if w != nil {
					runs = w[k]
				}
				t += runs * d.time(j, depth-1)
			}
		}
	}
	d.graph.times[f] = t
	return t
}
