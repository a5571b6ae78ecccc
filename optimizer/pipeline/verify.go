package pipeline

import (
	"context"
	"fmt"

	"github.com/superbpf/superbpf/optimizer/prog"
)

// Verified is the verdict about one function of an object pair.
type Verified struct {
	Name   string
	Proof  Proof
	Same   bool // identical code, nothing to prove
	Direct bool // proved in one step, without a certificate's chain
	Links  int
}

// VerifyPair proves again, from scratch, that each function of b may replace
// the one of the same name (and position, for static functions) in a. A
// certificate, if there is one, gives intermediate bodies when the direct
// proof fails.
func VerifyPair(ctx context.Context, a, b []*prog.Func, cert *Certificate, p Prover) ([]Verified, error) {
	pairs, err := pairUp(a, b)
	if err != nil {
		return nil, err
	}
	var out []Verified
	for i, f := range a {
		g := pairs[i]
		if prog.SameCodeRefs(f, g) {
			out = append(out, Verified{Name: f.Name, Same: true, Proof: Proof{Equal: true, Verdict: "Equal", Reason: "identical code"}})
			continue
		}
		g = prog.AdoptRefs(f, g)
		v := Verified{Name: f.Name, Direct: true, Proof: p.Prove(ctx, f, g)}
		if !v.Proof.Equal && cert != nil {
			for _, fc := range cert.Functions {
				if fc.Index == i && fc.Name == f.Name {
					v.Proof, v.Links = chain(ctx, f, g, fc.Links, p)
					v.Direct = false
				}
			}
		}
		out = append(out, v)
	}
	return out, nil
}

// chain proves every link of a certificate and that it ends at g.
func chain(ctx context.Context, f, g *prog.Func, links []Link, p Prover) (Proof, int) {
	cur := f
	var all Proof
	for k := range links {
		next, err := links[k].Decode(f)
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
	if !prog.SameCode(cur, g) {
		return Proof{Verdict: "Unknown", Reason: "the certificate's chain does not end at the output's code"}, len(links)
	}
	all.Equal, all.Verdict, all.Reason = true, "Equal", fmt.Sprintf("%d links proved", len(links))
	return all, len(links)
}

// pairUp finds for each function of a its counterpart in b: by section and
// name, the n-th with the n-th.
func pairUp(a, b []*prog.Func) ([]*prog.Func, error) {
	byName := map[string][]*prog.Func{}
	for _, g := range b {
		k := g.Section + "\x00" + g.Name
		byName[k] = append(byName[k], g)
	}
	out := make([]*prog.Func, len(a))
	for i, f := range a {
		k := f.Section + "\x00" + f.Name
		if len(byName[k]) == 0 {
			return nil, fmt.Errorf("function %s of section %s is missing in the second object", f.Name, f.Section)
		}
		out[i] = byName[k][0]
		byName[k] = byName[k][1:]
	}
	return out, nil
}
