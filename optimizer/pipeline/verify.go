package pipeline

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/superbpf/superbpf/optimizer/prog"
)

// Verified is the verdict about one function of an object pair.
type Verified struct {
	Name  string
	Entry bool
	// A and B are the function's numbers in both objects; B is -1 when the second
	// object has no such function.
	A, B   int
	Proof  Proof
	Same   bool // identical code, nothing to prove
	Direct bool // proved in one step, without a certificate's chain
	Links  int
	// Renamed is the name of its counterpart, where that is another.
	Renamed string
	// given: the proof relies on what the first object's callers hand over and
	// the second's are not seen to.
	given bool
}

// VerifyPair proves again, from scratch, that each function of b may replace its
// counterpart in a. A certificate, if there is one, gives intermediate bodies
// when the direct proof fails. extra are the functions of b, by number, that
// have no counterpart.
func VerifyPair(ctx context.Context, a, b []*prog.Func, cert *Certificate, p Prover) (out []Verified, extra []int, err error) {
	pairs, extra := pairUp(a, b)
	for i, f := range a {
		v := Verified{Name: f.Name, Entry: f.Entry, A: i, B: pairs[i]}
		if v.B < 0 {
			v.Proof = Proof{Verdict: "Missing", Reason: "the second object has no such function"}
			out = append(out, v)
			continue
		}
		g := b[v.B]
		if g.Name != f.Name {
			v.Renamed = g.Name
		}
		switch {
		case f.Unsupported != "" || g.Unsupported != "":
			v.Proof = Proof{Verdict: "Unknown", Reason: cmp.Or(f.Unsupported, g.Unsupported)}
		case f.Entry && (f.Type != g.Type || f.Attach != g.Attach):
			v.Proof = Proof{Verdict: "Different", Reason: fmt.Sprintf("programs of different types: sections %s and %s", f.Section, g.Section)}
		case prog.SameCodeRefs(f, g):
			v.Same = true
			v.Proof = Proof{Equal: true, Verdict: "Equal", Reason: "identical code"}
		default:
			g := prog.AdoptRefs(f, g, a...) // bodies may have taken the place of calls
			h, weaker := seenInBoth(f, g)
			v.prove(ctx, a, h, g, cert, p)
			if weaker && !v.Proof.Equal {
				v.prove(ctx, a, f, g, cert, p)
				v.given = v.Proof.Equal
			}
		}
		if err := ctx.Err(); err != nil {
			return nil, nil, err
		}
		out = append(out, v)
	}
	// What callers hand over in the first object they do in the second, if they
	// may replace each other.
	same := !slices.ContainsFunc(out, func(v Verified) bool { return !v.Proof.Equal })
	for k := range out {
		if v := &out[k]; v.given && !same {
			v.Proof.Equal, v.Proof.Verdict = false, "Unknown"
			v.Proof.Reason = "it is equal for the arguments that the first object's calls give it, but not all that call it is proved equal"
		}
	}
	return out, extra, nil
}

// seenInBoth is f knowing of its arguments what the calls in both objects show.
func seenInBoth(f, g *prog.Func) (h *prog.Func, weaker bool) {
	h = f.Clone()
	for i, a := range f.Args {
		h.Args[i] = a.Join(g.Args[i])
		weaker = weaker || h.Args[i] != a
	}
	return h, weaker && !f.Entry
}

func (v *Verified) prove(ctx context.Context, funcs []*prog.Func, f, g *prog.Func, cert *Certificate, p Prover) {
	v.Direct, v.Proof = true, p.Prove(ctx, f, g)
	if v.Proof.Equal || cert == nil {
		return
	}
	for _, fc := range cert.Functions {
		if fc.Index == v.A && fc.Name == f.Name {
			v.Proof, v.Links = chain(ctx, funcs, f, g, fc.Links, p)
			v.Direct = false
		}
	}
}

// chain proves every link of a certificate and that it ends at g. f is one of funcs, or
// like one.
func chain(ctx context.Context, funcs []*prog.Func, f, g *prog.Func, links []Link, p Prover) (Proof, int) {
	cur := f
	var all Proof
	for k := range links {
		next, err := links[k].Decode(f, funcs)
		if err != nil {
			return Proof{Verdict: "Unknown", Reason: fmt.Sprintf("link %d: %v", k+1, err)}, k
		}
		pr := p.Prove(ctx, cur, next)
		if !pr.Equal {
			pr.Reason = fmt.Sprintf("link %d (%s): %s", k+1, links[k].Transform, pr.Reason)
			return pr, k
		}
		all.Assumptions = append(all.Assumptions, pr.Assumptions...)
		cur = next
	}
	if !prog.SameCodeRefs(cur, g) {
		return Proof{Verdict: "Unknown", Reason: "the certificate's chain does not end at the output's code"}, len(links)
	}
	all.Equal, all.Verdict, all.Reason = true, "Equal", fmt.Sprintf("%d links proved", len(links))
	return all, len(links)
}

// pairUp finds for each function of a the number of its counterpart in b, -1 for
// none, and the functions of b that are nobody's. Counterparts have the same
// section and name, the n-th being the n-th's; what is left over is paired by
// name alone, then by section where each object has a single function left.
func pairUp(a, b []*prog.Func) (pairs, extra []int) {
	pairs = make([]int, len(a))
	for i := range pairs {
		pairs[i] = -1
	}
	taken := make([]bool, len(b))
	full := func(f *prog.Func) string { return f.Section + "\x00" + f.Name }
	name := func(f *prog.Func) string { return f.Name }
	place := func(f *prog.Func) string { return fmt.Sprint(f.Section, "\x00", f.Entry) }
	for n, key := range []func(*prog.Func) string{full, name, place} {
		left, open := map[string][]int{}, map[string]int{}
		for j, g := range b {
			if !taken[j] {
				left[key(g)] = append(left[key(g)], j)
			}
		}
		for i, f := range a {
			if pairs[i] < 0 {
				open[key(f)]++
			}
		}
		for i, f := range a {
			k := key(f)
			if pairs[i] >= 0 || len(left[k]) == 0 || n == 2 && (len(left[k]) != 1 || open[k] != 1) {
				continue
			}
			pairs[i], taken[left[k][0]] = left[k][0], true
			left[k] = left[k][1:]
		}
	}
	for j := range b {
		if !taken[j] {
			extra = append(extra, j)
		}
	}
	return pairs, extra
}
